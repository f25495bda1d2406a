"""The whole life of a CI run, driven by hand."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.integration.coordinator.driver import task

if TYPE_CHECKING:
    from tests.integration.coordinator.driver import Driver

CHAIN = [
    task("util:build"),
    task("ui:build", dependencies=["util:build"]),
    task("shop:build", dependencies=["ui:build"]),
]
STOP: dict[str, Any] = {"stop_agents_after": ["build"]}


def a_record(**other: Any) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat()
    return {
        "record_key": "r1",
        "command": "nx format:check",
        "code": 0,
        "terminal_output": "ok",
        "started_at": now,
        "ended_at": now,
        **other,
    }


async def test_a_run_from_its_first_word_to_its_last(driver: Driver) -> None:
    run = await driver.open_run(branch="feature/x", **STOP)
    assert (run["state"], run["attempt"], run["workspace"], run["token_access"]) == (
        "open",
        1,
        "default",
        "read-write",
    )
    run_id = run["ci_run_id"]

    await driver.ask("POST", f"/api/v1/ci-runs/{run_id}/records", json=a_record())
    agent_id = await driver.join()
    invocation_id = await driver.submit(run_id, CHAIN)
    assert await driver.work_off(agent_id) == ["util:build", "ui:build", "shop:build"]

    news = await driver.events(run_id, after=0, invocation_id=invocation_id)
    results = [event["result"] for event in news["events"] if event["kind"] == "task_finished"]
    assert [result["outcome"] for result in results] == ["succeeded"] * 3
    assert all(result["artifact"]["size"] for result in results)
    assert news["invocation"] | {"agents_live": 0} == {
        "state": "finished",
        "outcome": "succeeded",
        "tasks_total": 3,
        "tasks_finished": 3,
        "agents_live": 0,
    }
    assert (await driver.claim(agent_id))["state"] == "leave"
    await driver.ask("POST", f"/api/v1/agents/{agent_id}/leave", json={"reason": "no_more_work"})

    ended = await driver.ask(
        "POST", f"/api/v1/ci-runs/{run_id}/main-left", json={"job_id": "991", "reason": "shell ended"}
    )
    assert (ended["state"], ended["outcome"]) == ("finished", "succeeded")
    assert ended["ended_at"] is not None
    assert [agent["state"] for agent in ended["agents"]] == ["left"]


async def test_the_payload_reaches_agents_as_it_came(driver: Driver) -> None:
    run_id = (await driver.open_run())["ci_run_id"]
    payload = json.dumps({"graph": "ü" * 10_000, "nested": [1, {"two": None}]}, ensure_ascii=False)
    invocation_id = await driver.submit(run_id, CHAIN, payload=payload)

    response = await driver.send("GET", f"/api/v1/invocations/{invocation_id}/payload")

    assert response.content == payload.encode()
    assert response.headers["content-type"] == "application/json"


async def test_events_are_numbered_without_gaps_and_can_be_followed_in_pieces(driver: Driver) -> None:
    run_id = (await driver.open_run())["ci_run_id"]
    agent_id = await driver.join()
    await driver.submit(run_id, CHAIN)
    await driver.work_off(agent_id)

    whole = await driver.events(run_id, limit=1000)
    pieces: list[dict[str, Any]] = []
    after = 0
    while (page := await driver.events(run_id, after=after, limit=2))["events"]:
        pieces += page["events"]
        after = page["sequence"]

    assert [event["sequence"] for event in whole["events"]] == list(range(1, whole["sequence"] + 1))
    assert pieces == whole["events"]
    assert all(event["message"] for event in pieces)


async def test_events_can_be_filtered_by_kind_without_losing_the_place(driver: Driver) -> None:
    run_id = (await driver.open_run())["ci_run_id"]
    await driver.join()

    news = await driver.events(run_id, kinds="agent_joined,agent_left")

    assert [event["kind"] for event in news["events"]] == ["agent_joined"]
    assert news["sequence"] == (await driver.run(run_id))["sequence"]


async def test_everything_may_be_sent_twice(driver: Driver) -> None:
    run = await driver.open_run()
    run_id = run["ci_run_id"]
    assert (await driver.open_run())["ci_run_id"] == run_id
    assert await driver.join() == await driver.join()
    body = driver.submission(CHAIN)
    path = f"/api/v1/ci-runs/{run_id}/invocations"
    first, second = [(await driver.ask("POST", path, json=body))["invocation_id"] for _ in range(2)]
    assert first == second
    record = a_record()
    records = [await driver.ask("POST", f"/api/v1/ci-runs/{run_id}/records", json=record) for _ in range(2)]
    assert records[0] == records[1]
    for _ in range(2):
        answer = await driver.ask(
            "POST", f"/api/v1/ci-runs/{run_id}/complete", json={"reason": "complete-ci-run"}
        )
    assert len(answer["invocations"]) == 1


async def test_a_lost_answer_to_a_report_may_be_asked_for_again(driver: Driver) -> None:
    run_id = (await driver.open_run())["ci_run_id"]
    agent_id = await driver.join()
    await driver.submit(run_id, [task("a:build")])
    lease = (await driver.claim(agent_id))["leases"][0]
    artifact_id = await driver.upload(lease["lease_id"])

    first = await driver.report(agent_id, lease, artifact_id=artifact_id)
    before = (await driver.tasks(run_id))["a:build"]
    await driver.report(agent_id, lease, artifact_id=artifact_id)

    assert first["accepted"]
    assert (await driver.tasks(run_id))["a:build"] == before


async def test_an_empty_invocation_is_finished_at_once_and_counts(driver: Driver) -> None:
    run_id = (await driver.open_run(**STOP))["ci_run_id"]
    agent_id = await driver.join()

    await driver.submit(run_id, [])

    run = await driver.run(run_id)
    assert run["invocations"][0]["state"] == "finished"
    assert (await driver.claim(agent_id))["state"] == "leave"


async def test_a_failed_task_skips_its_dependents_and_its_output_travels(driver: Driver) -> None:
    run_id = (await driver.open_run())["ci_run_id"]
    agent_id = await driver.join()
    await driver.submit(run_id, CHAIN)
    lease = (await driver.claim(agent_id))["leases"][0]
    artifact_id = await driver.upload(lease["lease_id"], b"why it failed")

    await driver.report(
        agent_id, lease, outcome="failed", code=3, nx_status="failure", artifact_id=artifact_id
    )

    tasks = await driver.tasks(run_id)
    assert [tasks[name]["outcome"] for name in ("util:build", "ui:build", "shop:build")] == [
        "failed",
        "skipped",
        "skipped",
    ]
    assert tasks["util:build"]["artifact"]["artifact_id"] == artifact_id
    assert (await driver.ask("POST", "/api/v1/cache/lookup", json={"hashes": [lease["hash"]]}))[
        "entries"
    ] == {}


async def test_a_run_says_that_something_has_failed_before_it_is_over(driver: Driver) -> None:
    """An agent that is released early must know how to end."""
    run_id = (await driver.open_run())["ci_run_id"]
    agent_id = await driver.join()
    await driver.submit(run_id, CHAIN[:2])
    (lease,) = (await driver.claim(agent_id))["leases"]
    before = await driver.ask("GET", f"/api/v1/ci-runs/{run_id}")
    await driver.report(agent_id, lease, outcome="failed", code=1)
    after = await driver.ask("GET", f"/api/v1/ci-runs/{run_id}")
    assert [(run["has_failed"], run["outcome"]) for run in (before, after)] == [(False, None), (True, None)]


async def test_a_failed_record_alone_makes_a_run_a_failed_one(driver: Driver) -> None:
    run_id = (await driver.open_run(stop_agents_on_failure=False))["ci_run_id"]
    await driver.ask("POST", f"/api/v1/ci-runs/{run_id}/records", json=a_record(code=3))
    run = await driver.ask("GET", f"/api/v1/ci-runs/{run_id}")
    assert (run["state"], run["outcome"], run["has_failed"]) == ("open", None, True)


async def test_a_closed_run_takes_nothing_more_from_its_own_job(driver: Driver) -> None:
    run_id = (await driver.open_run())["ci_run_id"]
    await driver.ask("POST", f"/api/v1/ci-runs/{run_id}/complete", json={"reason": "complete-ci-run"})

    body = driver.submission(CHAIN)
    assert await driver.refused("POST", f"/api/v1/ci-runs/{run_id}/invocations", json=body) == (
        409,
        "ci_run_closed",
    )
    opened = {"ci_id": driver.ci_id, "job_id": "991"}
    assert await driver.refused("POST", "/api/v1/ci-runs", json=opened) == (409, "ci_run_closed")
    assert (await driver.ask_to_join())["decision"] == "leave"


async def test_a_retried_main_job_opens_the_next_attempt(driver: Driver) -> None:
    first = await driver.open_run()
    await driver.ask("POST", f"/api/v1/ci-runs/{first['ci_run_id']}/complete", json={"reason": ""})

    second = await driver.open_run(job_id="992")

    assert (second["attempt"], second["state"]) == (2, "open")
    assert second["ci_run_id"] != first["ci_run_id"]
    newest = await driver.ask("GET", f"/api/v1/ci-runs?ci_id={driver.ci_id}")
    assert newest["ci_run"]["ci_run_id"] == second["ci_run_id"]


async def test_environments_of_one_pipeline_are_runs_of_their_own(driver: Driver) -> None:
    one, other = await driver.open_run(), await driver.open_run(environment="linux")

    assert one["ci_run_id"] != other["ci_run_id"]


async def test_a_cancelled_invocation_revokes_its_leases(driver: Driver) -> None:
    run_id = (await driver.open_run())["ci_run_id"]
    agent_id = await driver.join()
    invocation_id = await driver.submit(run_id, CHAIN)
    lease = (await driver.claim(agent_id))["leases"][0]

    await driver.ask("POST", f"/api/v1/invocations/{invocation_id}/cancel", json={"reason": "interrupted"})

    beat = await driver.ask(
        "POST", f"/api/v1/agents/{agent_id}/heartbeat", json={"holding": [lease["lease_id"]]}
    )
    assert beat["revoked"] == [lease["lease_id"]]
    assert {item["outcome"] for item in (await driver.tasks(run_id)).values()} == {"cancelled"}


async def test_a_story_says_why_a_task_is_where_it_is(driver: Driver) -> None:
    run_id = (await driver.open_run())["ci_run_id"]
    agent_id = await driver.join("agent-7")
    invocation_id = await driver.submit(run_id, CHAIN)

    async def why(task_id: str) -> str:
        told = await driver.ask("GET", f"/api/v1/invocations/{invocation_id}/tasks/{task_id}/story")
        return str(told["why"])

    assert "slot" in await why("util:build")
    assert "waits for util:build (ready)" in await why("ui:build")
    lease = (await driver.claim(agent_id))["leases"][0]
    assert "agent agent-7 runs attempt 1" in await why("util:build")
    await driver.report(agent_id, lease, outcome="failed", code=1)
    assert "ended with code 1" in await why("util:build")
    assert "util:build (failed) did not end well" in await why("ui:build")
    told = await driver.ask("GET", f"/api/v1/invocations/{invocation_id}/tasks/util:build/story")
    assert [event["kind"] for event in told["events"]][-2:] == ["task_leased", "task_finished"]


async def test_a_task_id_may_contain_slashes(driver: Driver) -> None:
    run_id = (await driver.open_run())["ci_run_id"]
    invocation_id = await driver.submit(run_id, [task("@scope/a:e2e-ci--src/x/y.cy.ts")])

    told = await driver.ask(
        "GET", f"/api/v1/invocations/{invocation_id}/tasks/@scope%2Fa:e2e-ci--src%2Fx%2Fy.cy.ts/story"
    )

    assert told["task"]["task_id"] == "@scope/a:e2e-ci--src/x/y.cy.ts"


async def test_of_a_very_long_record_the_tail_is_kept(driver: Driver) -> None:
    run_id = (await driver.open_run())["ci_run_id"]
    long = a_record(terminal_output="é" * 5_000_000 + "the end")

    answer = await driver.ask("POST", f"/api/v1/ci-runs/{run_id}/records", json=long)

    assert answer["record_id"]

"""Tasks that hang, that are slow, that cannot be stored, that are flaky; and agents that differ: through HTTP and store."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from nx_dte.coordinator.scheduler import policy
from tests.integration.coordinator.driver import READ_ONLY, Driver, task

if TYPE_CHECKING:
    from tests.integration.coordinator.conftest import Running


async def event_of(driver: Driver, run_id: str, kind: str) -> dict[str, Any]:
    """The first event of a kind, as soon as there is one."""
    async with asyncio.timeout(20):
        while True:
            news = await driver.events(run_id, kinds=kind, wait_s=5)
            if news["events"]:
                return dict(news["events"][0])


async def test_a_task_that_hangs_is_ended_and_its_agent_is_told(start: Any) -> None:
    async with start() as running:
        driver: Driver = running.driver
        run_id = (await driver.open_run())["ci_run_id"]
        await driver.submit(
            run_id, [task("a:e2e"), task("a:report", dependencies=["a:e2e"])], task_timeout_s=0.3
        )
        agent_id = await driver.join("agent-2")
        (lease,) = (await driver.claim(agent_id))["leases"]

        event = await event_of(driver, run_id, "task_finished")

        assert (event["task_id"], event["reason"]) == ("a:e2e", "timed_out")
        assert (event["result"]["outcome"], event["result"]["code"]) == ("failed", None)
        assert "NX_DTE_TASK_TIMEOUT" in event["message"]
        beat = await driver.ask(
            "POST", f"/api/v1/agents/{agent_id}/heartbeat", json={"holding": [lease["lease_id"]]}
        )
        assert beat["revoked"] == [lease["lease_id"]]
        late = await driver.report(agent_id, lease)
        assert (late["accepted"], late["reason"]) == (False, "lease_not_live")
        assert {name: item["outcome"] for name, item in (await driver.tasks(run_id)).items()} == {
            "a:e2e": "failed",
            "a:report": "skipped",
        }


@pytest.mark.parametrize("seconds", [0, -1, 7 * 24 * 3600 + 1, "soon"])
async def test_a_timeout_that_makes_no_sense_is_refused(driver: Driver, seconds: object) -> None:
    run_id = (await driver.open_run())["ci_run_id"]
    body = driver.submission([task("a:e2e")], task_timeout_s=seconds)
    status, _ = await driver.refused("POST", f"/api/v1/ci-runs/{run_id}/invocations", json=body)
    assert status == 422


async def test_a_slow_task_is_mentioned_once_and_nothing_is_done(start: Any) -> None:
    async with start(slow_task_unknown_s=0.2) as running:
        driver: Driver = running.driver
        run_id = (await driver.open_run())["ci_run_id"]
        await driver.submit(run_id, [task("ui:test")])
        agent_id = await driver.join("agent-2")
        (lease,) = (await driver.claim(agent_id))["leases"]

        event = await event_of(driver, run_id, "task_slow")
        await asyncio.sleep(0.5)  # ten more rounds of the reaper, which must say nothing

        assert (event["task_id"], event["agent_name"], event["attempt"]) == ("ui:test", "agent-2", 1)
        assert "Nothing was done" in event["message"]
        assert len((await driver.events(run_id, kinds="task_slow"))["events"]) == 1
        assert (await driver.report(agent_id, lease))["accepted"]


async def test_what_was_learned_is_expected(driver: Driver) -> None:
    run_id = (await driver.open_run())["ci_run_id"]
    await driver.submit(run_id, [task("ui:test")])
    agent_id = await driver.join()
    (lease,) = (await driver.claim(agent_id))["leases"]
    times = {"started_at": "2026-01-01T00:00:00Z", "ended_at": "2026-01-01T00:00:40Z"}
    await driver.report(agent_id, lease, **times)
    await driver.submit(run_id, [task("ui:test"), task("ui:lint")])

    expected = {item["task_id"]: item["expected_s"] for item in (await driver.tasks(run_id)).values()}

    assert expected == {"ui:test": 40.0, "ui:lint": None}


async def test_outputs_without_room_leave_the_task_to_main(driver: Driver) -> None:
    run_id = (await driver.open_run())["ci_run_id"]
    tasks = [task("ui:build"), task("ui:test", dependencies=["ui:build"]), task("lib:build")]
    invocation_id = await driver.submit(run_id, tasks)
    agent_id = await driver.join()
    leases = {lease["task_id"]: lease for lease in (await driver.claim(agent_id))["leases"]}
    said = {"outcome": "not_stored", "message": "507: the disk is full"}

    assert (await driver.report(agent_id, leases["ui:build"], **said))["accepted"]
    assert (await driver.report(agent_id, leases["ui:build"], **said))["accepted"], "the same again"
    assert (await driver.report(agent_id, leases["lib:build"]))["accepted"]

    news = await driver.events(run_id, invocation_id=invocation_id, kinds="task_finished")
    assert [(event["task_id"], event["reason"]) for event in news["events"]] == [
        ("ui:build", "not_stored"),
        ("ui:test", "not_stored"),
        ("lib:build", None),
    ]
    assert "507: the disk is full" in news["events"][0]["message"]
    assert (news["invocation"]["state"], news["invocation"]["outcome"]) == ("finished", None)
    run = await driver.run(run_id)
    assert (run["state"], run["invocations"][0]["outcome"]) == ("open", None)
    story = await driver.ask("GET", f"/api/v1/invocations/{invocation_id}/tasks/ui:test/story")
    assert story["why"] == "ui:test was left to the main job: not stored."


async def test_an_agent_that_differs_says_so_in_mains_log(driver: Driver) -> None:
    run_id = (await driver.open_run())["ci_run_id"]
    await driver.submit(run_id, [task("ui:build")])
    agent_id = await driver.join("agent-2")
    await driver.claim(agent_id)

    body = {"reason": "mismatch", "message": "ui:build: outputs differ."}
    await driver.ask("POST", f"/api/v1/agents/{agent_id}/leave", json=body)

    event = await event_of(driver, run_id, "agent_left")
    assert event["reason"] == "mismatch"
    assert event["message"].endswith("ui:build: outputs differ.")
    (gone,) = (await driver.run(run_id))["agents"]
    assert (gone["state"], gone["left_reason"]) == ("left", "mismatch")
    back = (await driver.tasks(run_id))["ui:build"]
    assert (back["state"], back["attempt"]) == ("ready", 2)


# --------------------------------------------------------------------------------------------- flaky
async def ended(driver: Driver, ci_id: str, outcome: str) -> dict[str, Any]:
    """One run in which `ui:test` is tried once; its task afterwards."""
    driver.ci_id = ci_id
    run_id = (await driver.open_run(stop_agents_on_failure=False))["ci_run_id"]
    await driver.submit(run_id, [task("ui:test")])
    agent_id = await driver.join()
    (lease,) = (await driver.claim(agent_id))["leases"]
    assert (await driver.report(agent_id, lease, outcome=outcome, code=int(outcome == "failed")))["accepted"]
    return dict((await driver.tasks(run_id))["ui:test"])


async def test_a_hash_that_trusted_runs_saw_end_both_ways_is_tried_twice(coordinator: Running) -> None:
    driver = coordinator.driver
    assert (await ended(driver, "1", "failed"))["outcome"] == "failed"
    assert (await ended(driver, "2", "failed"))["outcome"] == "failed", "never seen to succeed"
    assert (await ended(driver, "3", "succeeded"))["outcome"] == "succeeded"

    again = await ended(driver, "4", "failed")

    assert (again["state"], again["attempt"], again["outcome"]) == ("ready", 2, None)
    assert b"nx_dte_flaky_tasks_total 1.0" in coordinator.services.metrics.render()


async def test_an_untrusted_run_makes_no_hash_flaky_but_profits(coordinator: Running) -> None:
    trusted, untrusted = coordinator.driver, coordinator.read_only
    assert untrusted.token == READ_ONLY
    await ended(trusted, "1", "failed")
    await ended(untrusted, "2", "succeeded")
    assert (await ended(trusted, "3", "failed"))["outcome"] == "failed"
    await ended(trusted, "4", "succeeded")
    assert (await ended(untrusted, "5", "failed"))["attempt"] == 2


# ---------------------------------------------------------------------------------------- the others
async def test_an_agent_that_never_asks_for_work_is_not_counted_on_for_ever(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start(heartbeat_s=0.1) as running:
        driver: Driver = running.driver
        run_id = (await driver.open_run())["ci_run_id"]
        invocation_id = await driver.submit(run_id, [task("a:b")], parallel=1)
        holds, asks, sleeps = [await driver.join(name) for name in ("holds", "asks", "sleeps")]
        (lease,) = (await driver.claim(holds))["leases"]

        async def live() -> int:
            await driver.claim(asks)
            for agent_id in (holds, asks, sleeps):
                body = {"holding": [lease["lease_id"]]}
                await driver.ask("POST", f"/api/v1/agents/{agent_id}/heartbeat", json=body)
            news = await driver.events(run_id, invocation_id=invocation_id)
            return int(news["invocation"]["agents_live"])

        assert await live() == 3
        monkeypatch.setattr(policy, "AT_WORK", timedelta(seconds=1))
        async with asyncio.timeout(20):
            while await live() != 2:  # noqa: ASYNC110 - one holds a lease, one asks for work
                await asyncio.sleep(0.05)


async def test_a_submission_sent_again_is_followed_from_the_same_event(driver: Driver) -> None:
    run_id = (await driver.open_run())["ci_run_id"]
    await driver.join()
    body = driver.submission([task("a:b")])
    path = f"/api/v1/ci-runs/{run_id}/invocations"
    first = await driver.ask("POST", path, json=body)
    assert first["sequence"] > 1
    assert await driver.ask("POST", path, json=body) == first

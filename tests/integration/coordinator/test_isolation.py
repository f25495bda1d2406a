"""What runs side by side never mixes: pipelines, environments, attempts, agents of one name, the two kinds of token."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tests.integration.coordinator.driver import task

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from tests.integration.coordinator.conftest import Running
    from tests.integration.coordinator.driver import Driver

SAME_TASKS = [task("a:build"), task("b:build", dependencies=["a:build"]), task("c:test")]


async def whole_run(driver: Driver, name: str, **opened: Any) -> tuple[str, dict[str, dict[str, Any]]]:
    """A run with an agent of its own, worked off; its id and its tasks."""
    environment = opened.get("environment", "")
    run_id = (await driver.open_run(job_id=f"job-{name}", **opened))["ci_run_id"]
    agent_id = await driver.join(name, environment=environment)
    await driver.submit(run_id, SAME_TASKS)
    await driver.work_off(agent_id)
    await driver.ask("POST", f"/api/v1/ci-runs/{run_id}/complete", json={"reason": "done"})
    return run_id, await driver.tasks(run_id)


async def assert_apart(
    driver: Driver, runs: list[tuple[str, dict[str, dict[str, Any]]]], names: list[str]
) -> None:
    """Each run has its own agent's results only, and each event in it names its own ids."""
    assert len({run_id for run_id, _ in runs}) == len(runs)
    for (run_id, tasks), name in zip(runs, names, strict=True):
        assert {one["agent_name"] for one in tasks.values()} == {name}
        assert {one["outcome"] for one in tasks.values()} == {"succeeded"}
        events = (await driver.events(run_id, limit=1000))["events"]
        assert {event["agent_name"] for event in events} == {None, name}
        finished = [event["task_id"] for event in events if event["kind"] == "task_finished"]
        assert sorted(finished) == ["a:build", "b:build", "c:test"]


async def test_two_pipelines_at_once(driver: Driver) -> None:
    names = ["first", "second", "third"]
    runs = await asyncio.gather(
        *(whole_run(replace(driver, ci_id=f"47{number}"), name) for number, name in enumerate(names))
    )
    await assert_apart(driver, runs, names)


async def test_one_pipeline_in_two_environments_at_once(driver: Driver) -> None:
    names = ["linux", "windows"]
    runs = await asyncio.gather(*(whole_run(driver, name, environment=name) for name in names))
    await assert_apart(driver, runs, names)


async def test_an_agent_of_an_older_attempt_gets_nothing_of_the_newer(driver: Driver) -> None:
    first, first_tasks = await whole_run(driver, "first")
    second = (await driver.open_run(job_id="retried"))["ci_run_id"]
    await driver.submit(second, SAME_TASKS)
    old = next(agent for agent in (await driver.run(first))["agents"] if agent["name"] == "first")

    told = await driver.claim(old["agent_id"])
    agent_id = await driver.join("second")
    await driver.work_off(agent_id)

    assert (told["state"], told["leases"]) == ("leave", [])
    await assert_apart(
        driver, [(first, first_tasks), (second, await driver.tasks(second))], ["first", "second"]
    )


async def test_agents_of_one_name_are_two(driver: Driver) -> None:
    run_id = (await driver.open_run())["ci_run_id"]
    await driver.submit(run_id, [task(f"p{number}:build") for number in range(4)])
    first = await driver.join("agent-1", agent_key="one process")
    second = await driver.join("agent-1", agent_key="another process")
    mine = (await driver.claim(first))["leases"]
    theirs = (await driver.claim(second))["leases"]

    # What one reports for the other is refused, though they share a name.
    stolen = await driver.report(second, mine[0])
    assert (stolen["accepted"], stolen["reason"]) == (False, "not_your_lease")
    await driver.ask("POST", f"/api/v1/agents/{first}/leave", json={"reason": "interrupted"})

    states = {task_id: one["state"] for task_id, one in (await driver.tasks(run_id)).items()}
    assert first != second
    assert len(mine) == len(theirs) == 2
    assert {states[lease["task_id"]] for lease in mine} == {"ready"}
    assert {states[lease["task_id"]] for lease in theirs} == {"leased"}


async def test_joining_again_after_a_cut_resumes_the_same_agent(driver: Driver) -> None:
    run_id = (await driver.open_run())["ci_run_id"]
    await driver.submit(run_id, [task("a:build"), task("b:build")])
    agent_id = await driver.join("agent-1")
    leases = (await driver.claim(agent_id))["leases"]

    again = await driver.join("agent-1")  # the same process, whose answer was lost
    kept = await driver.ask(
        "POST",
        f"/api/v1/agents/{again}/heartbeat",
        json={"holding": [lease["lease_id"] for lease in leases]},
    )

    assert again == agent_id
    assert kept["revoked"] == []
    assert [one["attempt"] for one in (await driver.tasks(run_id)).values()] == [1, 1]


async def test_leases_of_an_agent_that_was_cut_off_resume_or_go_back_but_never_both(
    start: Callable[..., AbstractAsyncContextManager[Running]],
) -> None:
    async with start(lease_s=0.5, heartbeat_s=0.1) as coordinator:
        driver = coordinator.driver
        run_id = (await driver.open_run())["ci_run_id"]
        await driver.submit(run_id, [task("a:build")])
        cut_off = await driver.join("agent-1")
        (lease,) = (await driver.claim(cut_off))["leases"]
        async with asyncio.timeout(20):
            while (await driver.tasks(run_id))["a:build"]["attempt"] == 1:
                await driver.ask("POST", f"/api/v1/ci-runs/{run_id}/ping", json={"job_id": "991"})
                await asyncio.sleep(0.05)

    async with start() as coordinator:  # with usual deadlines, so that nothing else is too late
        driver = coordinator.driver
        # The network is back: the process comes again under a new key, as the light client does.
        heard = await driver.send(
            "POST", f"/api/v1/agents/{cut_off}/heartbeat", json={"holding": [lease["lease_id"]]}
        )
        back = await driver.join("agent-1", agent_key="after the cut")
        (again,) = (await driver.claim(back))["leases"]
        late = await driver.report(cut_off, lease)
        good = await driver.report(back, again)

        assert lease["lease_id"] in heard.json()["revoked"]
        assert (late["accepted"], late["reason"]) == (False, "lease_not_live")
        assert good["accepted"]
        assert again["attempt"] == 2
        finished = await driver.events(run_id, limit=1000, kinds="task_finished")
        assert [(event["attempt"], event["agent_id"]) for event in finished["events"]] == [(2, back)]


async def test_a_read_only_run_distributes_and_keeps_what_it_makes_to_itself(coordinator: Running) -> None:
    untrusted = replace(coordinator.read_only, ci_id="untrusted")
    trusted = replace(coordinator.driver, ci_id="trusted")
    run_id, tasks = await whole_run(untrusted, "fork")
    hashes = [one["hash"] for one in tasks.values()]

    own = await untrusted.ask("POST", "/api/v1/cache/lookup", json={"hashes": hashes, "ci_run_id": run_id})
    next_run = (await replace(untrusted, ci_id="untrusted-2").open_run())["ci_run_id"]
    others = [
        await untrusted.ask("POST", "/api/v1/cache/lookup", json={"hashes": hashes, "ci_run_id": next_run}),
        await trusted.ask("POST", "/api/v1/cache/lookup", json={"hashes": hashes}),
        # Naming the untrusted run must not open its scope to a run that others trust.
        await trusted.ask("POST", "/api/v1/cache/lookup", json={"hashes": hashes, "ci_run_id": next_run}),
    ]

    assert {one["outcome"] for one in tasks.values()} == {"succeeded"}
    assert sorted(own["entries"]) == sorted(hashes)
    assert {entry["scope"] for entry in own["entries"].values()} == {"run"}
    assert [answer["entries"] for answer in others] == [{}, {}, {}]

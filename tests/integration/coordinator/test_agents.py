"""Agents: joining, waiting, reporting, and being lost."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from nx_dte.coordinator.engine import notifier
from tests.integration.coordinator.driver import task

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.coordinator.driver import Driver

Start = "Callable[..., AbstractAsyncContextManager[Running]]"


async def until(condition: Callable[[], Any], within_s: float = 10) -> Any:
    """Ask until the answer is a true one."""
    async with asyncio.timeout(within_s):
        while not (answer := await condition()):  # noqa: ASYNC110 - the condition lies behind HTTP
            await asyncio.sleep(0.02)
    return answer


@pytest.fixture
def only_hints(monkeypatch: pytest.MonkeyPatch) -> float:
    """Who waits hears of news by being woken alone, or not within this time."""
    monkeypatch.setattr(notifier, "LOOK_AGAIN_S", 60.0)
    return 15.0


async def test_an_agent_that_comes_first_waits_and_joins_when_main_comes(
    driver: Driver, only_hints: float
) -> None:
    assert (await driver.ask_to_join())["decision"] == "wait"

    waiting = asyncio.create_task(driver.ask_to_join(wait_s=20))
    await asyncio.sleep(0.1)
    await driver.open_run()

    async with asyncio.timeout(only_hints):
        assert (await waiting)["decision"] == "joined"


async def test_waiting_for_a_run_ends_with_the_patience(driver: Driver) -> None:
    began = time.monotonic()
    answer = await driver.ask_to_join(wait_s=0.3)

    assert answer["decision"] == "wait"
    assert 0.25 < time.monotonic() - began < 5


@pytest.mark.parametrize("field", ["commit", "nx_version"])
async def test_an_agent_of_other_code_is_refused_with_the_difference(driver: Driver, field: str) -> None:
    await driver.open_run(**{field: "one"})

    answer = await driver.ask_to_join(**{field: "two"})

    assert answer["decision"] == "refused"
    assert "one" in answer["message"]
    assert "two" in answer["message"]


async def test_a_waiting_claim_is_woken_by_new_work(driver: Driver, only_hints: float) -> None:
    run_id = (await driver.open_run())["ci_run_id"]
    agent_id = await driver.join()
    waiting = asyncio.create_task(driver.claim(agent_id, wait_s=20))
    await asyncio.sleep(0.1)

    await driver.submit(run_id, [task("a:build")])

    async with asyncio.timeout(only_hints):
        assert [lease["task_id"] for lease in (await waiting)["leases"]] == ["a:build"]


async def test_a_waiting_claim_is_woken_by_the_end(driver: Driver, only_hints: float) -> None:
    run_id = (await driver.open_run())["ci_run_id"]
    agent_id = await driver.join()
    waiting = asyncio.create_task(driver.claim(agent_id, wait_s=20))
    await asyncio.sleep(0.1)

    await driver.ask("POST", f"/api/v1/ci-runs/{run_id}/complete", json={"reason": ""})

    async with asyncio.timeout(only_hints):
        assert (await waiting)["state"] == "leave"


async def test_main_is_woken_by_an_event(driver: Driver, only_hints: float) -> None:
    run = await driver.open_run()
    waiting = asyncio.create_task(driver.events(run["ci_run_id"], after=run["sequence"], wait_s=20))
    await asyncio.sleep(0.1)

    await driver.join()

    async with asyncio.timeout(only_hints):
        assert [event["kind"] for event in (await waiting)["events"]] == ["agent_joined"]


async def test_a_stopping_coordinator_lets_nobody_wait(start: Any, only_hints: float) -> None:
    async with start() as coordinator:
        driver = coordinator.driver
        run = await driver.open_run()
        agent_id = await driver.join()
        waiting = [
            asyncio.create_task(driver.claim(agent_id, wait_s=25)),
            asyncio.create_task(driver.events(run["ci_run_id"], after=99, wait_s=25)),
            asyncio.create_task(driver.ask_to_join(ci_id="other", wait_s=25)),
        ]
        await asyncio.sleep(0.2)
        coordinator.services.engine.notifier.close()
        async with asyncio.timeout(only_hints):
            await asyncio.gather(*waiting)


async def test_agents_are_filled_to_their_slots(driver: Driver) -> None:
    run_id = (await driver.open_run())["ci_run_id"]
    agent_id = await driver.join()
    await driver.submit(run_id, [task(f"p{number}:build") for number in range(5)], parallel=3)

    first = (await driver.claim(agent_id))["leases"]
    holding = [lease["lease_id"] for lease in first]
    again = (await driver.claim(agent_id, holding=holding))["leases"]

    assert (len(first), len(again)) == (3, 0)


async def test_many_agents_claim_at_once_and_no_task_is_given_twice(driver: Driver) -> None:
    run_id = (await driver.open_run())["ci_run_id"]
    agents = [await driver.join(f"agent-{number}") for number in range(8)]
    names = [f"p{number:02}:build" for number in range(60)]
    await driver.submit(run_id, [task(name) for name in names], parallel=2)

    done = await asyncio.gather(*(driver.work_off(agent_id) for agent_id in agents))

    assert sorted(name for part in done for name in part) == names
    assert {item["outcome"] for item in (await driver.tasks(run_id)).values()} == {"succeeded"}


async def test_reports_and_the_next_claim_go_in_one_request(driver: Driver) -> None:
    run_id = (await driver.open_run())["ci_run_id"]
    agent_id = await driver.join()
    await driver.submit(run_id, [task(f"p{number}:build") for number in range(6)], parallel=3)
    leases = (await driver.claim(agent_id))["leases"]

    body = {"reports": [driver.a_report(lease) for lease in leases], "claim": {"holding": [], "wait_s": 0}}
    answer = await driver.ask("POST", f"/api/v1/agents/{agent_id}/reports", json=body)

    assert [result["lease_id"] for result in answer["results"]] == [lease["lease_id"] for lease in leases]
    assert len(answer["claim"]["leases"]) == 3


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"attempt": 2}, "attempt_not_current"),
        ({"lease_id": "no-such-lease"}, "lease_not_live"),
        ({"artifact_id": "0" * 64}, "artifact_missing"),
        ({"hash": "another-hash"}, "hash_differs"),
    ],
)
async def test_a_wrong_report_changes_nothing(driver: Driver, change: dict[str, Any], reason: str) -> None:
    run_id = (await driver.open_run())["ci_run_id"]
    agent_id = await driver.join()
    await driver.submit(run_id, [task("a:build")])
    lease = (await driver.claim(agent_id))["leases"][0]
    before = await driver.tasks(run_id)

    result = await driver.report(agent_id, lease, **change)

    assert (result["accepted"], result["reason"]) == (False, reason)
    assert await driver.tasks(run_id) == before


async def test_the_report_of_another_agent_changes_nothing(driver: Driver) -> None:
    run_id = (await driver.open_run())["ci_run_id"]
    owner, thief = await driver.join("owner"), await driver.join("thief")
    await driver.submit(run_id, [task("a:build")])
    lease = (await driver.claim(owner))["leases"][0]
    before = await driver.tasks(run_id)

    result = await driver.report(thief, lease)

    assert (result["accepted"], result["reason"]) == (False, "not_your_lease")
    assert await driver.tasks(run_id) == before


async def test_one_bad_report_does_not_spoil_the_others(driver: Driver) -> None:
    run_id = (await driver.open_run())["ci_run_id"]
    agent_id = await driver.join()
    await driver.submit(run_id, [task("a:build"), task("b:build")])
    first, second = (await driver.claim(agent_id))["leases"]

    body = {"reports": [driver.a_report(first, attempt=9), driver.a_report(second)]}
    answer = await driver.ask("POST", f"/api/v1/agents/{agent_id}/reports", json=body)

    assert [result["accepted"] for result in answer["results"]] == [False, True]


async def test_an_agent_that_leaves_gives_its_tasks_back(driver: Driver) -> None:
    run_id = (await driver.open_run())["ci_run_id"]
    first, second = await driver.join("first"), await driver.join("second")
    await driver.submit(run_id, [task("a:build")])
    lost = (await driver.claim(first))["leases"][0]

    await driver.ask("POST", f"/api/v1/agents/{first}/leave", json={"reason": "interrupted"})
    again = (await driver.claim(second))["leases"][0]

    assert (lost["attempt"], again["attempt"]) == (1, 2)
    late = await driver.report(first, lost)
    assert not late["accepted"]
    assert (await driver.report(second, again))["accepted"]


async def test_a_silent_agent_is_lost_and_its_task_goes_on_elsewhere(start: Any) -> None:
    async with start(lease_s=0.4, heartbeat_s=0.1) as coordinator:
        driver = coordinator.driver
        run_id = (await driver.open_run())["ci_run_id"]
        silent = await driver.join("silent")
        await driver.submit(run_id, [task("a:build")])
        assert (await driver.claim(silent))["leases"]
        other = await driver.join("other")

        async def claimed() -> list[dict[str, Any]]:
            return list((await driver.claim(other))["leases"])

        lease = (await until(claimed))[0]

        assert lease["attempt"] == 2
        kinds = [event["kind"] for event in (await driver.events(run_id, limit=1000))["events"]]
        assert "agent_lost" in kinds
        assert "task_requeued" in kinds


@pytest.mark.slow
async def test_heartbeats_keep_leases_alive(start: Any) -> None:
    async with start(lease_s=3, heartbeat_s=0.2) as coordinator:
        driver = coordinator.driver
        run_id = (await driver.open_run())["ci_run_id"]
        agent_id = await driver.join()
        await driver.submit(run_id, [task("a:build")])
        lease = (await driver.claim(agent_id))["leases"][0]

        until_s = time.monotonic() + 7
        while time.monotonic() < until_s:
            body = {"holding": [lease["lease_id"]]}
            beat = await driver.ask("POST", f"/api/v1/agents/{agent_id}/heartbeat", json=body)
            assert beat["revoked"] == []
            await asyncio.sleep(0.1)

        assert (await driver.report(agent_id, lease))["accepted"]


async def test_a_silent_main_ends_its_run(start: Any) -> None:
    async with start(main_silence_s=0.4) as coordinator:
        driver = coordinator.driver
        run_id = (await driver.open_run())["ci_run_id"]

        async def over() -> bool:
            return bool((await driver.run(run_id))["state"] == "finished")

        await until(over)


async def test_a_main_that_falls_silent_in_mid_invocation_abandons_its_run(start: Any) -> None:
    async with start(main_silence_s=0.4) as coordinator:
        driver = coordinator.driver
        run_id = (await driver.open_run())["ci_run_id"]
        agent_id = await driver.join()
        await driver.submit(run_id, [task("a:build")])

        async def over() -> bool:
            return bool((await driver.run(run_id))["state"] == "abandoned")

        await until(over)
        assert (await driver.claim(agent_id))["state"] == "leave"
        assert (await driver.tasks(run_id))["a:build"]["outcome"] == "cancelled"


@pytest.mark.slow
async def test_pings_keep_a_run_open(start: Any) -> None:
    async with start(main_silence_s=4) as coordinator:
        driver = coordinator.driver
        run_id = (await driver.open_run())["ci_run_id"]
        until_s = time.monotonic() + 6
        while time.monotonic() < until_s:
            answer = await driver.ask("POST", f"/api/v1/ci-runs/{run_id}/ping", json={"job_id": "991"})
            assert answer["state"] == "open"
            await asyncio.sleep(0.2)

"""An untrusted job can never change what a trusted run reads: not by joining it, reporting in it, or being there first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.coordinator.driver import digest, task
from tests.support.archives import archive_of

if TYPE_CHECKING:
    from tests.integration.coordinator.conftest import Running
    from tests.integration.coordinator.driver import Driver

TASKS = [task("a:build"), task("b:build")]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedRun:
    """A run of the read-write token in the middle of its work."""

    driver: Driver
    run_id: str
    invocation_id: str
    agent_id: str
    lease: dict[str, Any]


@pytest.fixture
async def trusted(coordinator: Running) -> TrustedRun:
    driver = coordinator.driver
    run_id = (await driver.open_run())["ci_run_id"]
    invocation_id = await driver.submit(run_id, TASKS)
    agent_id = await driver.join()
    lease = (await driver.claim(agent_id, slots=1))["leases"][0]
    return TrustedRun(
        driver=driver, run_id=run_id, invocation_id=invocation_id, agent_id=agent_id, lease=lease
    )


async def test_a_read_only_token_changes_nothing_in_a_trusted_run(
    coordinator: Running, trusted: TrustedRun
) -> None:
    fork = coordinator.read_only
    before = (await trusted.driver.tasks(trusted.run_id), await trusted.driver.run(trusted.run_id))
    run, agent = f"/api/v1/ci-runs/{trusted.run_id}", f"/api/v1/agents/{trusted.agent_id}"
    record = {
        "record_key": "k",
        "command": "false",
        "code": 1,
        "terminal_output": "",
        "started_at": "2026-01-01T00:00:00Z",
        "ended_at": "2026-01-01T00:00:00Z",
    }

    for path, body in [
        (f"{run}/ping", {"job_id": "991"}),
        (f"{run}/main-left", {"job_id": "991", "reason": "x"}),
        (f"{run}/complete", {"reason": "x"}),
        (f"{run}/records", record),
        (f"{run}/invocations", fork.submission(TASKS)),
        (f"/api/v1/invocations/{trusted.invocation_id}/cancel", {"reason": "main_interrupted"}),
        (f"{agent}/claim", {"slots": None, "holding": [], "wait_s": 0}),
        (f"{agent}/heartbeat", {"holding": []}),
        (f"{agent}/reports", {"reports": [fork.a_report(trusted.lease)]}),
        (f"{agent}/leave", {"reason": "interrupted"}),
    ]:
        assert await fork.refused("POST", path, json=body) == (403, "token_access_differs"), path
    data = archive_of(b"poison")
    headers = {"nx-dte-digest": digest(data), "nx-dte-ci-run": trusted.run_id}
    for path in [
        f"/api/v1/leases/{trusted.lease['lease_id']}/artifact",
        f"{run}/artifacts",
        "/api/v1/cache/some-hash",
    ]:
        refusal = await fork.refused("PUT", path, content=data, headers=headers)
        assert refusal == (403, "token_access_differs"), path

    after = (await trusted.driver.tasks(trusted.run_id), await trusted.driver.run(trusted.run_id))
    assert after == before


async def test_a_read_only_agent_is_refused_by_a_trusted_run(
    coordinator: Running, trusted: TrustedRun
) -> None:
    answer = await coordinator.read_only.ask_to_join("fork-agent")

    assert (answer["decision"], answer["reason"]) == ("refused", "token_access_differs")
    assert "read-only" in answer["message"]
    assert (await trusted.driver.run(trusted.run_id))["agents_joined"] == 1


async def test_a_read_only_main_cannot_take_part_in_a_trusted_run(
    coordinator: Running, trusted: TrustedRun
) -> None:
    body = {"ci_id": trusted.driver.ci_id, "job_id": "fork"}
    refusal = await coordinator.read_only.refused("POST", "/api/v1/ci-runs", json=body)

    assert refusal == (403, "token_access_differs")


async def test_a_trusted_agent_waits_for_a_trusted_run(coordinator: Running) -> None:
    """An untrusted job may guess the pipeline's id and be there first: it must get no trusted agent to work for it."""
    await coordinator.read_only.open_run(job_id="fork")

    answer = await coordinator.driver.ask_to_join()

    assert (answer["decision"], answer["agent_id"]) == ("wait", None)


async def test_a_trusted_main_never_gets_the_run_of_an_untrusted_one(coordinator: Running) -> None:
    fork, driver = coordinator.read_only, coordinator.driver
    squatted = (await fork.open_run(job_id="fork"))["ci_run_id"]
    fork_agent = await fork.join("fork-agent")

    opened = await driver.open_run(job_id="own")

    assert (opened["ci_run_id"] != squatted, opened["attempt"], opened["state"]) == (True, 2, "open")
    assert opened["token_access"] == "read-write"
    assert (await driver.run(squatted))["state"] == "abandoned"
    assert (await fork.claim(fork_agent))["state"] == "leave"
    submission = driver.submission(TASKS)
    refusal = await driver.refused("POST", f"/api/v1/ci-runs/{squatted}/invocations", json=submission)
    assert refusal[0] in {403, 409}


async def test_naming_an_untrusted_run_does_not_open_its_cache_to_a_trusted_job(coordinator: Running) -> None:
    fork = coordinator.read_only
    run_id = (await fork.open_run(job_id="fork"))["ci_run_id"]
    agent_id = await fork.join()
    await fork.submit(run_id, TASKS)
    await fork.work_off(agent_id)
    hashes = [f"hash-of-{one['task_id']}" for one in TASKS]

    body = {"hashes": hashes, "ci_run_id": run_id}
    own = await fork.ask("POST", "/api/v1/cache/lookup", json=body)
    trusted = await coordinator.driver.ask("POST", "/api/v1/cache/lookup", json=body)

    assert sorted(own["entries"]) == sorted(hashes)
    assert trusted["entries"] == {}


async def test_a_read_only_token_may_look_at_a_trusted_run(coordinator: Running, trusted: TrustedRun) -> None:
    fork = coordinator.read_only
    assert (await fork.run(trusted.run_id))["state"] == "open"
    assert set(await fork.tasks(trusted.run_id)) == {"a:build", "b:build"}

"""A life in which everything happens to CI runs that can, and what the metrics say of it."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from nx_dte.coordinator.api.application import build_metrics_app
from tests.integration.coordinator.driver import task

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager
    from typing import Any

    from tests.integration.coordinator.conftest import Running
    from tests.integration.coordinator.driver import Driver

    Start = Callable[..., AbstractAsyncContextManager[Running]]

Samples = Counter[tuple[str, tuple[tuple[str, str], ...]]]


async def scrape(coordinator: Running) -> str:
    """The page, as Prometheus gets it."""
    transport = httpx2.ASGITransport(build_metrics_app(coordinator.services))
    async with httpx2.AsyncClient(transport=transport, base_url="http://metrics.test") as client:
        return (await client.get("/metrics")).text


def samples(page: str) -> Samples:
    """Every sample by name and labels."""
    return Counter(
        {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
        }
    )


async def _until_event(driver: Driver, run_id: str, kind: str) -> None:
    """Follow the run until the event has come; each poll waits for news."""
    after = 0
    while True:
        news = await driver.events(run_id, after=after, kinds=kind, wait_s=20)
        if any(event["kind"] == kind for event in news["events"]):
            return
        after = max([after, *(event["sequence"] for event in news["events"])])


async def _an_orderly_run(driver: Driver) -> None:
    """Successes, a failure with what it stops, a hit, a refused report, records; agents are sent away."""
    run_id = (await driver.open_run(stop_agents_on_failure=True))["ci_run_id"]
    agent_id = await driver.join()
    tasks = [task("a:build"), task("b:build", dependencies=["a:build"]), task("c:test")]
    hit = task("d:lint", hit={"artifact_id": None, "nx_status": "local-cache"})
    await driver.submit(run_id, [*tasks, hit], parallel=2)
    first, second = (await driver.claim(agent_id))["leases"]
    await _until_event(driver, run_id, "task_slow")
    await driver.report(agent_id, first, attempt=99)
    artifact_id = await driver.upload(first["lease_id"])
    await driver.report(agent_id, first, artifact_id=artifact_id)
    await driver.report(agent_id, second, artifact_id=await driver.upload(second["lease_id"]))
    (third,) = (await driver.claim(agent_id))["leases"]
    await driver.report(agent_id, third, outcome="failed", code=1, nx_status="failure")
    now = datetime.now(UTC).isoformat()
    record: dict[str, Any] = {
        "record_key": "r1",
        "command": "nx format:check",
        "code": 1,
        "terminal_output": "",
        "started_at": now,
        "ended_at": now,
    }
    await driver.ask("POST", f"/api/v1/ci-runs/{run_id}/records", json=record)
    assert (await driver.claim(agent_id))["state"] == "leave"
    await driver.ask("POST", f"/api/v1/agents/{agent_id}/leave", json={"reason": "no_more_work"})
    await driver.ask("POST", f"/api/v1/ci-runs/{run_id}/main-left", json={"job_id": "991", "reason": "ended"})


async def _a_run_that_will_be_lost(driver: Driver) -> str:
    run_id = str((await driver.open_run(job_id="992"))["ci_run_id"])
    agent_id = await driver.join("agent-2")
    await driver.submit(run_id, [task("a:build"), task("b:build")], parallel=1)
    await driver.claim(agent_id)
    return run_id


async def live_through_everything(start: Start) -> tuple[Samples, str]:
    """One run ends well ordered, the next loses agent and main; returns all counts of both processes, and a page."""
    async with start(slow_task_unknown_s=0.01) as coordinator:
        await _an_orderly_run(coordinator.driver)
        driver = coordinator.driver
        driver.ci_id = "4712"
        run_id = await _a_run_that_will_be_lost(driver)
        await coordinator.read_only.send("PUT", "/api/v1/cache/h", content=b"x")
        await driver.ask("POST", "/api/v1/cache/lookup", json={"hashes": ["hash-of-a:build", "unknown"]})
        page = await scrape(coordinator)
    counts = samples(page)
    async with start(lease_s=0.2, heartbeat_s=0.1, main_silence_s=0.5) as coordinator:
        await _until_event(coordinator.driver, run_id, "ci_run_abandoned")
        counts.update(samples(await scrape(coordinator)))
    return counts, page

"""What operators see of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx2

from nx_dte.coordinator.api.application import build_metrics_app
from tests.integration.coordinator.driver import task

if TYPE_CHECKING:
    from tests.integration.coordinator.conftest import Running


async def test_a_run_moves_the_metrics(coordinator: Running) -> None:
    driver = coordinator.driver
    run_id = (await driver.open_run())["ci_run_id"]
    agent_id = await driver.join()
    await driver.submit(run_id, [task("a:build"), task("b:build")])
    await driver.work_off(agent_id)

    transport = httpx2.ASGITransport(build_metrics_app(coordinator.services))
    async with httpx2.AsyncClient(transport=transport, base_url="http://metrics.test") as client:
        page = (await client.get("/metrics")).text

    for line in (
        'nx_dte_ci_runs{state="open"} 1.0',
        'nx_dte_tasks{state="finished"} 2.0',
        'nx_dte_agents{state="joined"} 1.0',
        'nx_dte_tasks_total{outcome="succeeded",target="build"} 2.0',
        'nx_dte_task_duration_seconds_count{target="build"} 2.0',
        "nx_dte_task_wait_seconds_count 2.0",
        'nx_dte_transaction_duration_seconds_count{event="task_reported"} 2.0',
        "nx_dte_claim_duration_seconds_count 1.0",
        'nx_dte_http_request_duration_seconds_count{code="200",route="/api/v1/ci-runs"} 1.0',
    ):
        assert line in page
    assert 'route="unmatched"' not in page

"""What operators see of runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from nx_dte.coordinator.engine.gauges import MEMORY_S
from nx_dte.coordinator.store.sql import dialect
from nx_dte.model.event import EventKind
from tests.integration.coordinator.driver import task
from tests.integration.coordinator.life import live_through_everything, scrape

if TYPE_CHECKING:
    from tests.integration.coordinator.conftest import Running
    from tests.integration.coordinator.life import Start


async def test_a_run_moves_the_metrics(coordinator: Running) -> None:
    driver = coordinator.driver
    run_id = (await driver.open_run())["ci_run_id"]
    agent_id = await driver.join()
    await driver.submit(run_id, [task("a:build"), task("b:build")])
    await driver.work_off(agent_id)

    page = await scrape(coordinator)

    for line in (
        "nx_dte_store_up 1.0",
        "nx_dte_migrations_pending 0.0",
        'nx_dte_ci_runs{state="open"} 1.0',
        'nx_dte_tasks{state="finished"} 2.0',
        'nx_dte_agents{state="joined"} 1.0',
        'nx_dte_tasks_total{outcome="succeeded",target="build"} 2.0',
        'nx_dte_task_duration_seconds_count{target="build"} 2.0',
        "nx_dte_task_wait_seconds_count 2.0",
        'nx_dte_transaction_duration_seconds_count{event="task_reported"} 2.0',
        'nx_dte_commit_duration_seconds_count{event="task_reported"} 2.0',
        "nx_dte_agent_join_seconds_count 1.0",
        "nx_dte_claim_duration_seconds_count 1.0",
        'nx_dte_http_request_duration_seconds_count{code="200",route="/api/v1/ci-runs"} 1.0',
    ):
        assert line in page
    assert 'route="unmatched"' not in page


async def test_every_transition_is_counted_once(start: Start, database_url: str) -> None:
    counts, _ = await live_through_everything(start)

    engine = dialect.open_engine(dialect.parse_url(database_url), writes=False)
    with engine.connect() as database:
        rows = database.execute(text("SELECT kind, count(*) FROM events GROUP BY kind")).all()
    engine.dispose()
    happened = {row[0]: row[1] for row in rows}
    assert {kind.value for kind in EventKind} == set(happened), "this life leaves a transition out"
    counted = {kind: counts["nx_dte_events_total", (("kind", kind),)] for kind in happened}
    assert counted == happened


async def test_what_happened_is_told_by_how_it_ended(start: Start) -> None:
    counts, _ = await live_through_everything(start)

    def of(name: str, **labels: str) -> float:
        return counts[f"nx_dte_{name}", tuple(sorted(labels.items()))]

    assert of("ci_runs_total", outcome="failed") == 2
    for target, outcome in (
        ("build", "succeeded"),
        ("test", "succeeded"),
        ("build", "failed"),
        ("lint", "cached"),
    ):
        assert of("tasks_total", target=target, outcome=outcome) == 1
    assert of("tasks_total", target="build", outcome="cancelled") == 2
    assert of("task_attempts_total", reason="agent_lost") == 1
    assert of("leases_expired_total") == 1
    assert of("reports_refused_total", reason="attempt_not_current") == 1
    assert of("agents_left_total", reason="silent") == 1
    assert of("agents_left_total", reason="no_more_work") == 1
    assert of("agent_join_seconds_count") == 2
    assert of("agent_presence_seconds_total") > 0
    assert of("ci_run_duration_seconds_count", outcome="failed") == 2
    assert of("cache_requests_total", scope="shared", result="hit") == 1
    assert of("cache_requests_total", scope="any", result="miss") == 1
    assert of("errors_total", code="token_read_only") == 1


async def test_waiting_tasks_show_since_when_and_beside_what_agents(coordinator: Running) -> None:
    driver, gauges = coordinator.driver, coordinator.services.gauges
    name = "nx_dte_oldest_ready_task_timestamp_seconds"

    async def shown() -> set[str]:
        gauges.forget()
        lines = [line for line in (await scrape(coordinator)).splitlines() if line.startswith(name)]
        return {line.split('"')[1] for line in lines}

    run_id = (await driver.open_run())["ci_run_id"]
    assert await shown() == set()
    await driver.submit(run_id, [task("a:build"), task("b:build")], parallel=1)
    assert await shown() == {"none"}
    agent_id = await driver.join()
    assert await shown() == {"idle"}
    (lease,) = (await driver.claim(agent_id))["leases"]
    assert await shown() == {"busy"}
    await driver.report(agent_id, lease, artifact_id=await driver.upload(lease["lease_id"]))
    await driver.claim(agent_id)
    assert await shown() == set()


async def test_the_store_is_asked_once_in_a_few_seconds(coordinator: Running) -> None:
    await scrape(coordinator)
    await coordinator.driver.open_run()

    assert MEMORY_S > 1
    assert 'nx_dte_ci_runs{state="open"} 0.0' in await scrape(coordinator)
    coordinator.services.gauges.forget()
    assert 'nx_dte_ci_runs{state="open"} 1.0' in await scrape(coordinator)

"""What tests of deletion share: time that passes at once, and looks at what is left."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from nx_dte.coordinator.retention import Retention
from nx_dte.coordinator.store.sql import tables
from nx_dte.model.ids import WorkspaceId
from tests.integration.coordinator.driver import digest, pieces, task
from tests.support.archives import archive_of

if TYPE_CHECKING:
    from tests.integration.coordinator.conftest import Running
    from tests.integration.coordinator.driver import Driver

DEFAULT = WorkspaceId("default")
DATA = archive_of(b"some outputs")
# Tables whose rows belong to CI runs.
OF_RUNS = {
    table.name
    for table in tables.metadata.sorted_tables
    if "ci_run_id" in table.c or "invocation_id" in table.c
}


def later(coordinator: Running, *, max_bytes: int = 0, **ahead: float) -> Retention:
    """The coordinator's retention, as it will be then: only its own clock is ahead."""
    services = coordinator.services
    return Retention(
        store=services.retention._store,
        artifacts=services.artifacts,
        metrics=services.metrics,
        policy=replace(services.retention.policy, max_bytes=max_bytes),
        interval_s=600,
        now=lambda: datetime.now(UTC) + timedelta(**ahead),
    )


def travel(coordinator: Running, **ahead: float) -> None:
    """All of the coordinator's clocks are ahead from now on; what lives falls silent by that."""
    clock = lambda: datetime.now(UTC) + timedelta(**ahead)  # noqa: E731
    coordinator.services.engine.storage._runner.now = clock
    coordinator.services.retention._now = clock


async def rows(coordinator: Running) -> dict[str, int]:
    """How many rows tables have; those without any are left out."""
    store: Any = coordinator.services.retention._store

    def count() -> dict[str, int]:
        with store._read_engine.connect() as connection:
            counts = {
                table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
                for table in tables.metadata.sorted_tables
            }
        return {name: number for name, number in counts.items() if number}

    return await asyncio.to_thread(count)


async def files(coordinator: Running) -> list[str]:
    """The keys of all blobs."""
    objects = coordinator.data_dir / "artifacts" / "objects"
    return await asyncio.to_thread(
        lambda: sorted(path.relative_to(objects).as_posix() for path in objects.rglob("*") if path.is_file())
    )


async def store_entry(driver: Driver, task_hash: str, data: bytes = DATA, **headers: str) -> Any:
    return await driver.ask(
        "PUT",
        f"/api/v1/cache/{task_hash}",
        content=pieces(data),
        headers={"nx-dte-digest": digest(data), **headers},
    )


async def looked_up(driver: Driver, *hashes: str, ci_run_id: str | None = None) -> dict[str, Any]:
    body = {"hashes": list(hashes), "ci_run_id": ci_run_id}
    return dict((await driver.ask("POST", "/api/v1/cache/lookup", json=body))["entries"])


async def is_served(driver: Driver, data: bytes = DATA) -> bool:
    response = await driver.send("GET", f"/api/v1/artifacts/{digest(data).removeprefix('sha256:')}")
    assert response.status_code in {200, 404}
    assert response.status_code == 404 or response.content == data
    return response.status_code == 200


async def a_finished_run(driver: Driver) -> str:
    """With a bit of everything in it."""
    run_id = str((await driver.open_run())["ci_run_id"])
    agent_id = await driver.join()
    await driver.submit(run_id, [task("a:build"), task("b:build", dependencies=["a:build"])])
    await driver.work_off(agent_id)
    record = {"record_key": "r", "command": "true", "code": 0, "terminal_output": "said", "started_at": None}
    now = datetime.now(UTC).isoformat()
    await driver.ask(
        "POST", f"/api/v1/ci-runs/{run_id}/records", json={**record, "started_at": now, "ended_at": now}
    )
    await driver.ask("POST", f"/api/v1/agents/{agent_id}/leave", json={"reason": ""})
    await driver.ask("POST", f"/api/v1/ci-runs/{run_id}/complete", json={"reason": "complete-ci-run"})
    return run_id

"""Artifacts that were stored before blobs had names of their own are served, kept and deleted like any other."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from alembic import command
from sqlalchemy import text

from nx_dte.coordinator.store.sql import dialect
from nx_dte.coordinator.store.sql.migrate import alembic_config
from tests.integration.coordinator.aging import files, later, looked_up, store_entry
from tests.integration.coordinator.driver import digest
from tests.support.archives import archive_of

if TYPE_CHECKING:
    from pathlib import Path

DATABASES = ["sqlite"]  # the migration itself is tested on both
DATA = archive_of(b"of old")
ARTIFACT_ID = hashlib.sha256(DATA).hexdigest()
LONG_AGO = "2020-01-01 00:00:00.000000"
OLD_KEY = f"default/{ARTIFACT_ID[:2]}/{ARTIFACT_ID}"


def old_coordinator(data_dir: Path) -> None:
    """What the version before left behind: one artifact, and the entry that names it."""
    blob = data_dir / "artifacts" / "objects" / OLD_KEY
    blob.parent.mkdir(parents=True)
    blob.write_bytes(DATA)
    url = dialect.parse_url(f"sqlite:///{data_dir / 'coordinator.sqlite3'}")
    engine = dialect.open_engine(url, writes=True)
    config = alembic_config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0002")
    with engine.begin() as connection:
        known = {"artifact": ARTIFACT_ID, "at": LONG_AGO, "size": len(DATA)}
        for statement in (
            "INSERT INTO workspaces (workspace_id, created_at) VALUES ('default', :at)",
            (
                "INSERT INTO artifacts (workspace_id, artifact_id, size, created_at) "
                "VALUES ('default', :artifact, :size, :at)"
            ),
            (
                "INSERT INTO cache_entries (workspace_id, scope, scope_id, task_hash, artifact_id, size, code, created_at) "
                "VALUES ('default', 'shared', '', 'h', :artifact, :size, 0, :at)"
            ),
        ):
            connection.execute(text(statement), known)
    engine.dispose()


async def test_they_survive_the_upgrade_and_count_as_used_today(tmp_path: Path, start: Any) -> None:
    data_dir = tmp_path / "old"
    old_coordinator(data_dir)

    async with start(
        data_dir=data_dir, database_url=f"sqlite:///{data_dir / 'coordinator.sqlite3'}"
    ) as coordinator:
        driver = coordinator.driver
        await later(coordinator, days=13).run_once()
        assert set(await looked_up(driver, "h")) == {"h"}
        download = await driver.send("GET", f"/api/v1/artifacts/{ARTIFACT_ID}")
        assert download.content == DATA
        await store_entry(driver, "same-bytes", DATA)
        assert await files(coordinator) == [OLD_KEY]

        await later(coordinator, days=15).run_once()
        assert await files(coordinator) == []
        assert await driver.refused("GET", f"/api/v1/artifacts/{digest(DATA)[7:]}") == (404, "not_found")
        await store_entry(driver, "anew", DATA)
        (key,) = await files(coordinator)
        assert key.startswith(f"{OLD_KEY}-")

"""The coordinator's container: what it may do, how it ends, and what becomes of an old data volume."""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING

import httpx2
import pytest
import sqlalchemy as sa

from nx_dte.coordinator.store.sql import dialect
from nx_dte.coordinator.store.sql.migrate import migrate
from nx_dte.coordinator.store.sql.revisions import current, known
from tests.images.jobs import TOKEN, Coordinator
from tests.integration.coordinator.driver import digest
from tests.integration.store.old_rows import fill, read_back
from tests.support.archives import archive_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.images.conftest import Built
    from tests.images.containers import Containers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

# What a start changes by itself: liveness of a run whose main was seen a year ago.
LASTING = {"workspaces", "tokens", "artifacts", "cache_entries", "durations"}
KEEP = {"NX_DTE_RUN_RETENTION_S": "0", "NX_DTE_CACHE_RETENTION_S": "0"}
WAIT_S = 60.0


def test_it_runs_without_rights_on_a_read_only_root_and_is_healthy(
    containers: Containers, built: Built
) -> None:
    coordinator = Coordinator.start(containers, built.coordinator)
    container = coordinator.container
    container.wait_until(lambda: container.state["Health"]["Status"] == "healthy", WAIT_S, "it is healthy")
    effective = container.run("grep", "CapEff", "/proc/1/status").split()[-1]
    assert int(effective, 16) == 0
    assert container.run("sh", "-c", "touch /nowhere 2>&1 || true").endswith("Read-only file system")
    stored = httpx2.put(
        f"{container.url(8720)}/api/v1/cache/h1",
        content=(data := archive_of(b"built")),
        headers=_headers(data),
    )
    assert (stored.status_code, stored.json()["stored"]) == (200, True)


def test_a_coordinator_that_cannot_do_its_work_is_unhealthy(containers: Containers, built: Built) -> None:
    container = containers.start(
        built.coordinator,
        options=["--health-interval=1s", "--health-start-period=1ms", "--health-retries=1"],
        env={
            "NX_DTE_LISTEN": "127.0.0.1:8799",
            "NX_DTE_DATABASE_WAIT_S": "60",
            "NX_DTE_DATABASE_URL": "postgresql+psycopg://nobody@127.0.0.1:1/none",
        },
    )
    container.expect("database")
    container.wait_until(
        lambda: container.state["Health"]["Status"] == "unhealthy", WAIT_S, "it is unhealthy"
    )
    assert "nobody answers on 127.0.0.1:8799" in container.state["Health"]["Log"][-1]["Output"]


def test_a_volume_that_belongs_to_somebody_else_is_refused_with_whom_it_must_belong_to(
    containers: Containers, built: Built, tmp_path: Path
) -> None:
    tmp_path.chmod(0o755)
    container = containers.start(
        built.coordinator, options=["--read-only", "--cap-drop", "ALL"], mounts={tmp_path: "/var/lib/nx-dte"}
    )
    assert container.wait(WAIT_S) == 78
    assert "/var/lib/nx-dte cannot be used: Permission denied; let user 10001 write there" in container.log


class _SlowUpload:
    """An upload of which the last byte waits for the test."""

    def __init__(self, url: str) -> None:
        self._may_end = threading.Event()
        self._has_begun = threading.Event()
        self.answer: httpx2.Response | None = None
        self._thread = threading.Thread(target=self._send, args=(url,), daemon=True)
        self._thread.start()
        assert self._has_begun.wait(WAIT_S)

    def _send(self, url: str) -> None:
        data = archive_of(os.urandom(3_000_000))

        def body() -> Iterator[bytes]:
            yield data[:-1]
            self._has_begun.set()  # what went before is in the coordinator's hands, or the system's
            self._may_end.wait(WAIT_S)
            yield data[-1:]

        headers = {**_headers(data), "content-length": str(len(data))}
        self.answer = httpx2.put(f"{url}/api/v1/cache/slow", content=body(), headers=headers, timeout=WAIT_S)

    def finish(self) -> httpx2.Response | None:
        self._may_end.set()
        self._thread.join(WAIT_S)
        return self.answer


def _headers(data: bytes) -> dict[str, str]:
    return {"authorization": TOKEN, "nx-dte-digest": digest(data)}


def test_a_stop_lets_requests_finish(containers: Containers, built: Built) -> None:
    coordinator = Coordinator.start(containers, built.coordinator, env={"NX_DTE_SHUTDOWN_GRACE_S": "25"})
    container = coordinator.container
    upload = _SlowUpload(container.url(8720))
    stopped: list[tuple[int, float]] = []
    stopping = threading.Thread(target=lambda: stopped.append(container.stop(grace_s=40)), daemon=True)
    stopping.start()
    container.wait_for('"event": "stopping"', WAIT_S)
    answer = upload.finish()
    stopping.join(WAIT_S)
    assert answer is not None
    assert (answer.status_code, answer.json()["stored"]) == (200, True)
    assert [code for code, _ in stopped] == [0]
    last = [json.loads(line) for line in container.log.splitlines() if line.startswith("{")]
    assert last[-1]["event"] == "stopped"


def _give(containers: Containers, built: Built, folder: Path, uid: int) -> None:
    """Change the owner of a folder and what is in it, as root in a container can."""
    containers.output(
        built.coordinator, "chown", "-R", str(uid), "/data", options=["--user", "0"], mounts={folder: "/data"}
    )


@pytest.mark.parametrize("revision", [known()[0], known()[-2]])
def test_a_volume_of_an_older_version_is_migrated_and_kept(
    containers: Containers, built: Built, tmp_path: Path, revision: str
) -> None:
    data = tmp_path / "data"
    data.mkdir()
    file = data / "coordinator.sqlite3"
    engine = dialect.open_engine(dialect.parse_url(f"sqlite:///{file}"), writes=True)
    migrate(engine, revision)
    with engine.begin() as connection:
        written = {table: rows for table, rows in fill(connection).items() if table in LASTING}
    engine.dispose()
    assert {"tokens", "cache_entries"} <= written.keys()
    _give(containers, built, data, 10001)

    coordinator = Coordinator.start(containers, built.coordinator, data=data, env=KEEP)
    code, _ = coordinator.container.stop()

    _give(containers, built, data, os.getuid())
    assert code == 0
    engine = sa.create_engine(f"sqlite:///{file}")
    with engine.connect() as connection:
        assert current(connection) == known()[-1]
        kept = read_back(connection, written)
    engine.dispose()
    for table, rows in written.items():
        assert [row for row in rows if row not in kept[table]] == [], table

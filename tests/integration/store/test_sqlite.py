"""What is SQLite's own: works that share a transaction, and tables that are changed by rebuilding them."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from nx_dte.coordinator.store.errors import ConflictError
from nx_dte.coordinator.store.sql import dialect
from nx_dte.coordinator.store.sql.migrate import migrate
from nx_dte.coordinator.store.sql.revisions import known
from nx_dte.errors import ConfigurationError, InternalError
from tests.integration.store.old_rows import fill
from tests.integration.store.rows import a_token

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nx_dte.coordinator.store.base import Session
    from nx_dte.coordinator.store.sql.store import SqlStore

DATABASES = ["sqlite"]


async def in_one_group(store: SqlStore, *works: Callable[[Session], object]) -> list[object]:
    """Queue works while the writer is busy, so that they share its next transaction."""
    release = threading.Event()

    def hold(_session: Session) -> None:
        release.wait(10)

    holding = asyncio.ensure_future(store.write(hold))
    await asyncio.sleep(0.05)
    queued = [asyncio.ensure_future(store.write(work)) for work in works]
    await asyncio.sleep(0.05)
    release.set()
    await holding
    return await asyncio.gather(*queued, return_exceptions=True)


async def test_a_work_that_fails_half_written_spoils_no_other(store: SqlStore) -> None:
    def spoiled(session: Session) -> None:
        session.insert_token(a_token("spoiled"))
        raise RuntimeError("in the middle")

    outcomes = await in_one_group(
        store,
        lambda session: session.insert_token(a_token("first")),
        spoiled,
        lambda session: session.insert_token(a_token("last")),
    )

    assert [type(outcome) for outcome in outcomes] == [type(None), RuntimeError, type(None)]
    tokens = await store.read(lambda session: session.tokens())
    assert {token.token_id for token in tokens} == {"first", "last"}


async def test_a_constraint_broken_by_one_spoils_no_other(store: SqlStore) -> None:
    outcomes = await in_one_group(
        store, *[lambda session, name=name: session.insert_token(a_token(name)) for name in ("a", "a", "b")]
    )

    assert [type(outcome) for outcome in outcomes] == [type(None), ConflictError, type(None)]


async def test_a_mere_refusal_makes_nobody_run_twice(store: SqlStore) -> None:
    runs: list[str] = []

    def counted(session: Session) -> None:
        runs.append("counted")
        session.insert_token(a_token("counted"))

    def refused(_session: Session) -> None:
        raise ConfigurationError("no")

    await in_one_group(store, counted, refused)

    assert runs == ["counted"]


async def test_what_is_answered_survives_a_power_cut(store: SqlStore) -> None:
    """Each commit is synced, not only each checkpoint; and references are checked."""
    wanted = {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1}

    for engine in (store._write_engine, store._read_engine):
        store._writer.close()  # it has the one connection that writes
        with engine.connect() as connection:
            found = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in wanted}
        assert found == wanted


async def test_whoever_stops_waiting_does_not_stop_the_writer(store: SqlStore) -> None:
    release = threading.Event()
    holding = asyncio.ensure_future(store.write(lambda _session: release.wait(10)))
    await asyncio.sleep(0.05)
    impatient = asyncio.ensure_future(store.write(lambda session: session.insert_token(a_token("x"))))
    await asyncio.sleep(0)
    impatient.cancel()
    holding.cancel()
    release.set()

    assert await store.write(lambda session: len(session.tokens())) in {0, 1}


def test_a_migration_that_would_lose_what_others_refer_to_is_undone(tmp_path: Path) -> None:
    """References may dangle while tables are rebuilt; that is looked at before the commit."""
    engine = dialect.open_engine(dialect.parse_url(f"sqlite:///{tmp_path / 'old.sqlite3'}"), writes=True)
    older = known()[-2]
    migrate(engine, older)
    with engine.begin() as connection:
        fill(connection)
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        driver.execute("PRAGMA foreign_keys = OFF")
        driver.execute("DELETE FROM agents")
        driver.execute("PRAGMA foreign_keys = ON")

    with pytest.raises(InternalError, match="references to missing rows, the first in table leases"):
        migrate(engine)

    with engine.connect() as connection:
        version = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one()
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar_one() == 1
    assert version == older
    engine.dispose()

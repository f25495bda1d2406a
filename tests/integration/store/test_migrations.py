"""The migrations build the schema that the code describes, and nothing that was there is lost on the way."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from nx_dte.coordinator.store.sql import dialect, tables
from nx_dte.coordinator.store.sql.migrate import alembic_config, migrate
from nx_dte.coordinator.store.sql.revisions import known
from nx_dte.coordinator.store.sql.store import SqlStore
from nx_dte.errors import ConfigurationError
from nx_dte.model.ids import AgentId, ArtifactId, CiRunId, InvocationId, TaskHash, TaskId, WorkspaceId
from tests.integration.store.old_rows import DIGEST, MADE_BY_MIGRATIONS, ROWS, fill, read_back

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Engine

    from nx_dte.coordinator.store.base import Reads

FIRST, *_, NEWEST = known()
OLDER = known()[:-1]
_CONSTRAINTS = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version'
    UNION ALL SELECT tablename, indexname, indexdef FROM pg_indexes
    WHERE schemaname = 'public' AND tablename <> 'alembic_version'
"""


@pytest.fixture
def empty_url(dialect_name: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """A database without a table."""
    if dialect_name == "postgresql":
        return str(request.getfixturevalue("empty_postgres_url"))
    return f"sqlite:///{tmp_path / 'empty.sqlite3'}"


@pytest.fixture
def engine(empty_url: str) -> Iterator[Engine]:
    made = dialect.open_engine(dialect.parse_url(empty_url), writes=True)
    yield made
    made.dispose()


@pytest.fixture
def fresh(dialect_name: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """A database with the described schema, made without migrations."""
    if dialect_name == "postgresql":
        postgres = request.getfixturevalue("postgres")
        with postgres.database() as name:
            made = sa.create_engine(dialect.parse_url(postgres.url(name)))
            tables.metadata.create_all(made)
            yield made
            made.dispose()
    else:
        made = sa.create_engine(f"sqlite:///{tmp_path / 'fresh.sqlite3'}")
        tables.metadata.create_all(made)
        yield made
        made.dispose()


def rules(engine: Engine) -> set[tuple[str, str, str]]:
    """Every constraint and index with its definition: what alembic's own comparison leaves out for the most part."""
    with engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            return {(row[0], row[1], row[2]) for row in connection.exec_driver_sql(_CONSTRAINTS)}
        found: set[tuple[str, str, str]] = {
            (row[0], row[1], " ".join(row[2].split()))
            for row in connection.exec_driver_sql(
                "SELECT tbl_name, name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
            )
        }
        inspector = sa.inspect(connection)
        for table in set(inspector.get_table_names()) - {"alembic_version"}:
            for check in inspector.get_check_constraints(table):
                found.add((table, str(check["name"]), " ".join(check["sqltext"].split())))
            for key in inspector.get_foreign_keys(table):
                found.add((table, str(key["name"]), str((key["constrained_columns"], key["options"]))))
            for unique in inspector.get_unique_constraints(table):
                found.add((table, str(unique["name"]), str(unique["column_names"])))
        return found


def test_the_migrated_schema_is_the_described_one(engine: Engine, fresh: Engine) -> None:
    migrate(engine)

    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, tables.metadata) == []
    assert rules(engine) == rules(fresh)
    assert len(rules(engine)) > 80


def test_every_table_has_rows_to_lose() -> None:
    assert set(tables.metadata.tables) == set(ROWS) | MADE_BY_MIGRATIONS


@pytest.mark.parametrize("revision", OLDER)
async def test_old_rows_survive(engine: Engine, empty_url: str, revision: str) -> None:
    migrate(engine, revision)
    with engine.begin() as connection:
        written = fill(connection)

    migrate(engine)

    with engine.connect() as connection:
        assert read_back(connection, written) == written
    store = SqlStore(empty_url)
    await check_readable(store, has_tasks=revision != FIRST)
    store.close()


async def check_readable(store: SqlStore, *, has_tasks: bool) -> None:
    def work(reads: Reads) -> dict[str, Any]:
        run_id, invocation_id = CiRunId("R"), InvocationId("I")
        return {
            "run": reads.run(run_id),
            "jobs": reads.main_jobs(run_id),
            "record": reads.record_by_key(run_id, "r"),
            "invocation": reads.invocation(invocation_id),
            "payload": reads.payload(invocation_id) == "",
            "agent": reads.agent(AgentId("A")),
            "artifact": reads.artifact(WorkspaceId("w"), ArtifactId(DIGEST)),
            "entry": reads.cache_entries(WorkspaceId("w"), [TaskHash("h1")], None),
            "durations": reads.durations(WorkspaceId("w"), ["build"]).exact_s,
            "events": len(reads.events_after(run_id, 0, invocation_id=None, kinds=(), limit=9)) == 2,
            "tokens": reads.tokens(),
            **(
                {
                    "tasks": len(reads.tasks_of_run(run_id)) == 2,
                    "dependents": reads.dependents(invocation_id, TaskId("a:build")),
                    "leases": reads.live_leases_of_invocation(invocation_id),
                }
                if has_tasks
                else {}
            ),
        }

    found = await store.read(work)
    assert [name for name, value in found.items() if not value] == []


def test_an_old_artifact_keeps_the_name_of_its_blob(engine: Engine) -> None:
    migrate(engine, "0002")
    with engine.begin() as connection:
        fill(connection)

    migrate(engine)

    with engine.connect() as connection:
        assert connection.execute(sa.select(tables.artifacts.c.blob_key)).scalar_one() == f"w/ab/{DIGEST}"


def test_migrating_twice_changes_nothing(engine: Engine) -> None:
    migrate(engine)
    with engine.begin() as connection:
        written = fill(connection)
    before = rules(engine)

    migrate(engine)

    with engine.connect() as connection:
        assert read_back(connection, written) == written
    assert rules(engine) == before


def test_several_may_migrate_at_once(empty_url: str) -> None:
    engines = [dialect.open_engine(dialect.parse_url(empty_url), writes=True) for _ in range(3)]
    faults: list[Exception] = []

    def run(engine: Engine) -> None:
        try:
            migrate(engine)
        except Exception as error:  # noqa: BLE001 - for the assertion below
            faults.append(error)

    threads = [threading.Thread(target=run, args=[engine]) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert faults == []
    for engine in engines:
        engine.dispose()


def test_a_newer_database_is_refused_and_left_alone(engine: Engine) -> None:
    migrate(engine)
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(ConfigurationError, match=f"schema 9999.*up to {NEWEST}; update nx-dte"):
        migrate(engine)

    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar_one() == "9999"


def test_the_way_back_leads_to_nothing_and_forth_again(engine: Engine) -> None:
    migrate(engine)
    config = alembic_config()
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    assert set(sa.inspect(engine).get_table_names()) == {"alembic_version"}

    migrate(engine)


def test_every_state_column_is_guarded() -> None:
    def guards(table: sa.Table) -> set[str]:
        return {str(check.name) for check in table.constraints if isinstance(check, sa.CheckConstraint)}

    metadata: sa.MetaData = tables.metadata
    unguarded = [
        table.name
        for table in metadata.tables.values()
        if "state" in table.c and not any("state_known" in name for name in guards(table))
    ]
    assert unguarded == []

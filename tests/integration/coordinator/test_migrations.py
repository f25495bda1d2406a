"""The migrations build the schema that the code describes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import CheckConstraint, MetaData, Table, create_engine, inspect

from nx_dte.coordinator.store.sql import dialect, tables
from nx_dte.coordinator.store.sql.migrate import migrate

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Engine


def migrated(path: Path) -> Engine:
    engine = dialect.open_engine(dialect.parse_url(f"sqlite:///{path}"), writes=True)
    migrate(engine)
    return engine


def test_the_migrated_schema_is_the_described_one(tmp_path: Path) -> None:
    engine = migrated(tmp_path / "migrated.sqlite3")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), tables.metadata) == []
    engine.dispose()


def checks(engine: Engine) -> dict[str, set[str]]:
    inspector = inspect(engine)
    return {
        table: {str(check["name"]) for check in inspector.get_check_constraints(table)}
        for table in inspector.get_table_names()
        if table != "alembic_version"
    }


def indexes(engine: Engine) -> dict[str, str]:
    with engine.connect() as connection:
        rows = connection.exec_driver_sql(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        )
        return {name: " ".join(sql.split()) for name, sql in rows}


def test_constraints_and_partial_indexes_are_the_same_too(tmp_path: Path) -> None:
    # What alembic's comparison leaves out: CHECKs, and the WHERE of partial indexes.
    old = migrated(tmp_path / "migrated.sqlite3")
    fresh = create_engine(f"sqlite:///{tmp_path / 'fresh.sqlite3'}")
    tables.metadata.create_all(fresh)

    assert checks(old) == checks(fresh)
    assert indexes(old) == indexes(fresh)
    old.dispose()
    fresh.dispose()


def test_migrating_twice_changes_nothing(tmp_path: Path) -> None:
    migrated(tmp_path / "twice.sqlite3").dispose()
    migrated(tmp_path / "twice.sqlite3").dispose()


def test_every_state_column_is_guarded() -> None:
    def guards(table: Table) -> set[str]:
        return {str(check.name) for check in table.constraints if isinstance(check, CheckConstraint)}

    metadata: MetaData = tables.metadata
    unguarded = [
        table.name
        for table in metadata.tables.values()
        if "state" in table.c and not any("state_known" in name for name in guards(table))
    ]
    assert unguarded == []

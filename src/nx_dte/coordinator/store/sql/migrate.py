"""Migrations, run by the coordinator itself at start: no second command to forget, no alembic.ini to find."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory

from nx_dte.coordinator.store.sql.dialect import migration_lock
from nx_dte.errors import ConfigurationError, InternalError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection, Engine

SCRIPTS = Path(__file__).parent / "migrations"


def alembic_config() -> Config:
    """Alembic's configuration, without a file."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    return config


def migrate(engine: Engine, revision: str = "head") -> None:
    """Upgrade to a revision, in one transaction, one process at a time.

    Raises:
        ConfigurationError: the database was made by a newer version; nothing was changed.
    """
    config = alembic_config()
    with (
        engine.connect() as connection,
        _references_unchecked(connection),
        connection.begin(),
        migration_lock(connection),
    ):
        _refuse_newer(connection, ScriptDirectory.from_config(config))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        _check_references(connection)


def _refuse_newer(connection: Connection, scripts: ScriptDirectory) -> None:
    known = {script.revision for script in scripts.walk_revisions()}
    for revision in MigrationContext.configure(connection).get_current_heads():
        if revision not in known:
            raise ConfigurationError(
                f"the database has schema {revision}, this version of nx-dte knows schemas up to {max(known)}; "
                "update nx-dte to the version that made it, or restore a backup from before that"
            )


@contextmanager
def _references_unchecked(connection: Connection) -> Iterator[None]:
    """SQLite changes a table by copying and dropping it; what refers to it must not be deleted with it.

    This can be switched outside of transactions only, so past the driver, for which everything is in one.
    """
    if connection.dialect.name != "sqlite":
        yield
        return
    driver: Any = connection.connection.driver_connection
    driver.execute("PRAGMA foreign_keys = OFF")
    try:
        yield
    finally:
        driver.execute("PRAGMA foreign_keys = ON")


def _check_references(connection: Connection) -> None:
    """Make up for what went unchecked meanwhile."""
    if connection.dialect.name != "sqlite":
        return
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
    if broken:
        raise InternalError(
            f"the migration would leave {len(broken)} references to missing rows, the first in table {broken[0][0]}; "
            "nothing was changed: keep the database as it is and report this"
        )

"""Migrations, run by the coordinator itself at start: no second command to forget, no alembic.ini to find."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config

from nx_dte.coordinator.store.sql.dialect import migration_lock

if TYPE_CHECKING:
    from sqlalchemy import Engine

SCRIPTS = Path(__file__).parent / "migrations"


def alembic_config() -> Config:
    """Alembic's configuration, without a file."""
    config = Config()
    config.set_main_option("script_location", str(SCRIPTS).replace("%", "%%"))
    return config


def migrate(engine: Engine) -> None:
    """Upgrade to the newest revision, in one transaction, one process at a time."""
    config = alembic_config()
    with engine.begin() as connection, migration_lock(connection):
        config.attributes["connection"] = connection
        command.upgrade(config, "head")

"""Which revision of the schema a database has, and which ones this version knows."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from nx_dte.coordinator.store.sql.migrate import alembic_config

if TYPE_CHECKING:
    from sqlalchemy import Connection


@cache
def known() -> tuple[str, ...]:
    """Every revision of this version, oldest first."""
    scripts = ScriptDirectory.from_config(alembic_config())
    return tuple(reversed([script.revision for script in scripts.walk_revisions()]))


def current(connection: Connection) -> str | None:
    """The database's revision, or None where no schema was made yet."""
    return MigrationContext.configure(connection).get_current_revision()


def pending(connection: Connection) -> int:
    """How many revisions the database lacks; none when it is newer than this version."""
    revision, revisions = current(connection), known()
    if revision is None:
        return len(revisions)
    return len(revisions) - revisions.index(revision) - 1 if revision in revisions else 0

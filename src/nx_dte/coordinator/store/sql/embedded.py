"""Copies of the embedded database: made while a coordinator writes to it, and read without one.

With the plain driver, not an engine: a copy is one call of SQLite's own, and a backup must not be migrated by a look at it.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from nx_dte.coordinator.backup import BackupError, Contents, NamedBlob
from nx_dte.coordinator.store.sql import revisions
from nx_dte.coordinator.store.sql.dialect import BUSY_TIMEOUT_S

if TYPE_CHECKING:
    from pathlib import Path


def copy_database(source: Path, target: Path) -> None:
    """Write a snapshot of a database that may be in use; `target` is one file, without a log beside it.

    Raises:
        BackupError: there is no database, or it cannot be read.
    """
    try:
        with (
            closing(sqlite3.connect(f"{source.as_uri()}?mode=rw", uri=True, timeout=BUSY_TIMEOUT_S)) as live,
            closing(sqlite3.connect(target)) as copy,
        ):
            live.backup(copy)  # all pages in one step: one snapshot, which in WAL mode holds up no writer
            copy.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as error:
        raise BackupError(f"the database {source} cannot be copied: {error}") from error


def read_contents(file: Path) -> Contents:
    """Check a copy, and say which schema it has and which blobs it names.

    Raises:
        BackupError: it is damaged, or its schema is not this version's.
    """
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro&immutable=1", uri=True)) as copy:
            if (found := copy.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
                raise BackupError(f"the database {file} is damaged: {found}")
            (revision,) = copy.execute("SELECT version_num FROM alembic_version").fetchone()
            _check_revision(file, revision)
            rows = copy.execute("SELECT blob_key, artifact_id, size FROM artifacts ORDER BY blob_key")
            blobs = tuple(NamedBlob(key=key, artifact_id=name, size=size) for key, name, size in rows)
    except (sqlite3.Error, TypeError) as error:  # fetchone() has nothing to unpack
        raise BackupError(f"{file} is no database of a coordinator: {error}") from error
    return Contents(schema_revision=revision, blobs=blobs)


def _check_revision(file: Path, revision: str) -> None:
    newest = revisions.known()[-1]
    if revision != newest:
        raise BackupError(
            f"the database {file} has schema revision {revision}, this nx-dte works with {newest}; use the nx-dte "
            "version that the coordinator of this database runs"
        )

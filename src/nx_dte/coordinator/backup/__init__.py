"""Backup and restore of the embedded store: one folder with the database, the artifacts it names, and the first tokens.

The database is copied first and the blobs that the copy names after it, so whatever is stored meanwhile does no harm.
What retention removes meanwhile is missing from the blobs, so the database is then copied again. Blobs never change, so
they are hard links where the file system allows. A folder that bears the chosen name is whole.

This package moves files and knows nothing of SQL, runs or tasks; what it needs of a database it is given as functions. It
may import only the errors.
"""

from nx_dte.coordinator.backup.base import (
    DATABASE,
    OBJECTS,
    BackupError,
    Contents,
    DatabaseTools,
    Manifest,
    NamedBlob,
    Places,
)
from nx_dte.coordinator.backup.making import make_backup
from nx_dte.coordinator.backup.restoring import restore_backup

__all__ = [
    "DATABASE",
    "OBJECTS",
    "BackupError",
    "Contents",
    "DatabaseTools",
    "Manifest",
    "NamedBlob",
    "Places",
    "make_backup",
    "restore_backup",
]

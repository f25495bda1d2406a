"""What a backup is made of: its parts, its errors, and what it needs of the store."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nx_dte.errors import EXIT_CONFIGURATION, NxDteError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FORMAT = 1
MANIFEST, DATABASE, OBJECTS, TOKENS = "manifest.json", "coordinator.sqlite3", "objects", "tokens"


class BackupError(NxDteError):
    """The backup cannot be made or used."""

    code = "backup"
    exit_code = EXIT_CONFIGURATION


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedBlob:
    """A blob that the database names."""

    key: str
    artifact_id: str
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a copied database says of itself."""

    schema_revision: str
    blobs: tuple[NamedBlob, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Where a coordinator keeps what is backed up."""

    database: Path
    tokens: Path
    objects: Path | None
    """None when the artifacts are in an object store, which has a backup of its own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseTools:
    """What is done to databases, by whoever knows their form."""

    copy: Callable[[Path, Path], None]
    read: Callable[[Path], Contents]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a backup holds; `manifest.json` in its folder."""

    format: int
    made_at: str
    nx_dte_version: str
    schema_revision: str
    database_bytes: int
    database_sha256: str
    artifacts: int
    artifact_bytes: int
    are_artifacts_elsewhere: bool
    missing_blobs: tuple[str, ...]
    """The keys of those that had been lost before the backup was made."""
    tokens: tuple[str, ...]

    @property
    def summary(self) -> str:
        """One line for people."""
        artifacts = (
            "the artifacts are in an object store"
            if self.are_artifacts_elsewhere
            else f"{self.artifacts} artifacts ({self.artifact_bytes} bytes)"
        )
        return (
            f"database of {self.database_bytes} bytes (schema {self.schema_revision}), {artifacts}, "
            f"{len(self.tokens)} token files"
        )


def read_manifest(folder: Path) -> Manifest:
    """What the backup says it holds.

    Raises:
        BackupError: the folder is no backup, or one of another form.
    """
    try:
        found: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        manifest = Manifest(
            **{**found, "missing_blobs": tuple(found["missing_blobs"]), "tokens": tuple(found["tokens"])}
        )
    except FileNotFoundError as error:
        raise BackupError(f"{folder} is no backup: it has no {MANIFEST}") from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise BackupError(f"{folder / MANIFEST} cannot be read: {error}") from error
    if manifest.format != FORMAT:
        raise BackupError(
            f"{folder} has form {manifest.format}, this nx-dte knows form {FORMAT}; use nx-dte {manifest.nx_dte_version}"
        )
    return manifest

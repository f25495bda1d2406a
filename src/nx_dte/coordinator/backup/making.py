"""Making a backup, beside a running coordinator or without one."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from nx_dte.coordinator.backup import files
from nx_dte.coordinator.backup.base import (
    DATABASE,
    FORMAT,
    MANIFEST,
    OBJECTS,
    TOKENS,
    BackupError,
    Manifest,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from nx_dte.coordinator.backup.base import Contents, DatabaseTools, NamedBlob, Places

TRIES = 3


def make_backup(
    folder: Path, places: Places, tools: DatabaseTools, *, version: str, now: datetime
) -> Manifest:
    """Back up a coordinator, which may be running, into a folder that does not exist yet.

    Raises:
        BackupError: the folder is in use, or something cannot be read or written; nothing is left behind then.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise BackupError(f"{folder} exists and is not empty; name a new folder for each backup")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=f".{folder.name}.partial-", dir=folder.parent))  # mode 0700
    except OSError as error:
        raise BackupError(f"cannot write beside {folder}: {error.strerror}") from error
    try:
        manifest = _fill(partial, places, tools, version=version, now=now)
        files.write_private(partial / MANIFEST, json.dumps(asdict(manifest), indent=2) + "\n")
        files.sync_tree(partial)
        partial.rename(folder)
        files.sync(folder.parent)
    except OSError as error:
        raise BackupError(f"cannot write the backup {folder}: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return manifest


def _fill(partial: Path, places: Places, tools: DatabaseTools, *, version: str, now: datetime) -> Manifest:
    database, objects = partial / DATABASE, partial / OBJECTS
    contents, missing = _copy_consistently(database, objects, places, tools)
    held = {blob.key for blob in missing}
    kept = [blob for blob in contents.blobs if blob.key not in held]
    _remove_others(objects, {blob.key for blob in kept})
    tokens = sorted(file.name for file in places.tokens.iterdir()) if places.tokens.is_dir() else []
    for name in tokens:
        files.copy_private(places.tokens / name, partial / TOKENS / name)
    return Manifest(
        format=FORMAT,
        made_at=now.isoformat(),
        nx_dte_version=version,
        schema_revision=contents.schema_revision,
        database_bytes=database.stat().st_size,
        database_sha256=files.sha256(database),
        artifacts=len(kept) if places.objects else 0,
        artifact_bytes=sum(blob.size for blob in kept) if places.objects else 0,
        are_artifacts_elsewhere=places.objects is None,
        missing_blobs=tuple(blob.key for blob in missing),
        tokens=tuple(tokens),
    )


def _copy_consistently(
    database: Path, objects: Path, places: Places, tools: DatabaseTools
) -> tuple[Contents, list[NamedBlob]]:
    """Database, then blobs; again while blobs were removed in between. Those still missing then are really lost."""
    for last in [False] * (TRIES - 1) + [True]:
        database.unlink(missing_ok=True)
        tools.copy(places.database, database)
        database.chmod(0o600)
        contents = tools.read(database)
        if places.objects is None:
            return contents, []
        missing = _bring_blobs(contents.blobs, places.objects, objects)
        if last or not missing:
            break
    return contents, missing


def _bring_blobs(blobs: Iterable[NamedBlob], source: Path, target: Path) -> list[NamedBlob]:
    """Link or copy the blobs; returns those that are not there, or not whole."""
    missing = []
    for blob in blobs:
        place = target / blob.key
        if place.exists():
            continue
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            is_whole = (source / blob.key).stat().st_size == blob.size
            if is_whole:
                files.link_or_copy(source / blob.key, place)
        except FileNotFoundError:
            is_whole = False
        if not is_whole:
            missing.append(blob)
    return missing


def _remove_others(objects: Path, keys: set[str]) -> None:
    """An earlier try may have brought blobs that the final copy of the database no longer names."""
    for file in objects.rglob("*"):
        if file.is_file() and str(file.relative_to(objects)) not in keys:
            file.unlink()

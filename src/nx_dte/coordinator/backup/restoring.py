"""Restoring a backup into an empty data folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nx_dte.coordinator.backup import files
from nx_dte.coordinator.backup.base import DATABASE, OBJECTS, TOKENS, BackupError, read_manifest

if TYPE_CHECKING:
    from pathlib import Path

    from nx_dte.coordinator.backup.base import DatabaseTools, Manifest, Places


def restore_backup(folder: Path, places: Places, tools: DatabaseTools) -> Manifest:
    """Put a backup where a coordinator will look for it. The places must be empty, and no coordinator may run there.

    Raises:
        BackupError: something is there already, or the backup is not whole; nothing was changed then.
    """
    manifest = read_manifest(folder)
    _check_empty(places)
    _check_whole(folder, manifest, places, tools)
    try:
        if places.objects is not None:
            for blob in tools.read(folder / DATABASE).blobs:
                if blob.key not in manifest.missing_blobs:
                    (places.objects / blob.key).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                    files.link_or_copy(folder / OBJECTS / blob.key, places.objects / blob.key)
        for name in manifest.tokens:
            files.copy_private(folder / TOKENS / name, places.tokens / name)
        # Last, under another name first: a coordinator that is started too early must not find half a database.
        arriving = places.database.with_name(f"{places.database.name}.arriving")
        files.copy_private(folder / DATABASE, arriving)
        for place in (places.objects, places.tokens):
            if place is not None and place.is_dir():
                files.sync_tree(place)
        files.sync(arriving)
        arriving.rename(places.database)
        files.sync(places.database.parent)
    except OSError as error:
        raise BackupError(
            f"cannot write what {folder} holds: {error}; make room, empty the data folder, and restore again"
        ) from error
    return manifest


def _check_empty(places: Places) -> None:
    for place in (places.database, places.tokens, places.objects):
        if place is None:
            continue
        if place.is_file() or (place.is_dir() and any(file.is_file() for file in place.rglob("*"))):
            raise BackupError(
                f"{place} is there already; restore into an empty data folder, or move it away first"
            )


def _check_whole(folder: Path, manifest: Manifest, places: Places, tools: DatabaseTools) -> None:
    database = folder / DATABASE
    if not database.is_file() or files.sha256(database) != manifest.database_sha256:
        raise BackupError(
            f"{database} is missing or not as it was when the backup was made; take another backup"
        )
    if manifest.are_artifacts_elsewhere != (places.objects is None):
        where = "an object store" if manifest.are_artifacts_elsewhere else "the backup itself"
        raise BackupError(f"the artifacts of {folder} are in {where}; set artifacts_url accordingly")
    if places.objects is None:
        return
    lost = set(manifest.missing_blobs)
    for blob in tools.read(database).blobs:
        file = folder / OBJECTS / blob.key
        if blob.key not in lost and not (file.is_file() and file.stat().st_size == blob.size):
            raise BackupError(f"{file} of artifact {blob.artifact_id} is missing or cut; take another backup")

"""Making a backup, beside the running coordinator or without one."""

from __future__ import annotations

import json
import shutil
import socket
from typing import TYPE_CHECKING, Any

import archives
import backups
import postgres
import sums
from config import Failure, say
from programs import in_container

if TYPE_CHECKING:
    from pathlib import Path

    from config import Config


def make(config: Config, *, label: str, archive: Path | None) -> dict[str, Any]:
    """Make one, remove the oldest, and say what was made."""
    if not config.image:
        raise Failure(
            "there is no coordinator on this host yet, so there is nothing to back up; run coordinator.yml"
        )
    name = backups.new_name(label)
    work = backups.new_folder(config.backup_dir / f".making-{name}", config.uid)
    try:
        made, kind, details = work / name, backups.POSTGRESQL if config.has_server else backups.SQLITE, {}
        if config.has_server:
            details, summary = _of_server(config, made)
        else:
            summary = _of_files(config, work, name)
        earlier = backups.all_of(config)
        backups.share(made, earlier[-1] if earlier else None)
        backups.write_about(made, kind=kind, host=socket.gethostname(), image=config.image, **details)
        sums.write(made)
        made.rename(config.backup_dir / name)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    folder = config.backup_dir / name
    if archive is not None:
        archives.pack(folder, archive)
    backups.prune(config)
    say(f"backup {folder}: {summary}")
    return {"name": name, "folder": str(folder), "summary": summary, "archive": str(archive or "")}


def is_needed(config: Config, image: str) -> bool:
    """Whether there is anything to back up before another image may change it."""
    if config.image in {"", image}:
        return False
    if config.has_server:
        return postgres.has_tables(config)
    return (config.data_dir / "coordinator.sqlite3").is_file()


def _of_files(config: Config, work: Path, name: str) -> str:
    """By nx-dte's own command; its summary."""
    said = in_container(
        config,
        config.image,
        {config.data_dir: "/var/lib/nx-dte", work: "/backup"},
        ["nx-dte", "coordinator", "backup", f"/backup/{name}", "--config", "/etc/nx-dte/settings.toml"],
        "the backup cannot be made",
    )
    manifest = json.loads((work / name / "manifest.json").read_text(encoding="utf-8"))
    if lost := manifest["missing_blobs"]:
        say(f"{len(lost)} artifacts had been lost before this backup and are not in it: {', '.join(lost)}")
    return said.strip().partition(": ")[2]


def _of_server(config: Config, made: Path) -> tuple[dict[str, Any], str]:
    """The database first, the artifacts after it: then those that it names are there."""
    made.mkdir(mode=0o700)
    details = {"schema_revision": postgres.revision(config)}
    postgres.dump(config, made / backups.DUMP)
    summary = f"PostgreSQL dump of {(made / backups.DUMP).stat().st_size} bytes (schema {details['schema_revision']}), "
    if config.has_object_store:
        return details, summary + "the artifacts are in an object store, which needs a backup of its own"
    count = _copy_objects(config.data_dir / "artifacts" / "objects", made / backups.OBJECTS)
    backups.own(made, config.uid)
    return details, summary + f"{count} artifacts"


def _copy_objects(source: Path, target: Path) -> int:
    count = 0
    target.mkdir(mode=0o700)
    for file in source.rglob("*"):
        if not file.is_file():
            continue
        place = target / file.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            shutil.copyfile(file, place)
        except FileNotFoundError:  # retention was quicker
            continue
        place.chmod(0o600)
        count += 1
    return count

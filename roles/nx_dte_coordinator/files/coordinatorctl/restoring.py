"""Restoring a backup. Everything is checked, and written beside the old data, before the coordinator is stopped."""

from __future__ import annotations

import contextlib
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import archives
import backups
import postgres
import service
import sums
from config import Failure, say
from programs import in_container

if TYPE_CHECKING:
    from collections.abc import Iterator

    from config import Config

_ASIDE, _STAGED = "before-restore-", ".restoring"


def restore(config: Config, source: str, *, is_archive: bool) -> dict[str, Any]:
    """Check, stage, stop, swap, start, wait. What was done, in sentences.

    Raises:
        Failure: with what was changed, and how to go on.
    """
    if not config.image:
        raise Failure(
            "there is no image of a coordinator on this host yet; run restore.yml, which brings one"
        )
    try:
        with _source(config, source, is_archive=is_archive) as folder:
            about = _check(config, folder)
            staged = _stage(config, folder)
            try:
                done = _swap(config, folder, staged, about)
            finally:
                shutil.rmtree(staged, ignore_errors=True)
    except _Changed:
        raise
    except Failure as error:
        raise Failure(
            f"{error} (Nothing was changed: the coordinator and its data are as before.)"
        ) from error
    for line in done:
        say(line)
    return {"done": done}


def check(config: Config, source: str, *, is_archive: bool) -> dict[str, Any]:
    """Hold a backup against its sums, and say what it is."""
    with _source(config, source, is_archive=is_archive) as folder:
        return _check(config, folder)


class _Changed(Failure):
    """Something was changed before this happened."""


@contextlib.contextmanager
def _source(config: Config, source: str, *, is_archive: bool) -> Iterator[Path]:
    """The backup's folder; for the time of the block when it had to be unpacked or copied."""
    work = config.backup_dir / _STAGED
    shutil.rmtree(work, ignore_errors=True)
    try:
        if is_archive:
            folder = archives.unpack(Path(source), work)
            backups.own(folder, config.uid)
        else:
            folder = Path(source) if "/" in source else config.backup_dir / source
            if not folder.is_dir():
                names = ", ".join(one.name for one in backups.all_of(config)) or "none"
                raise Failure(f"there is no backup {folder}; this host has: {names}")
        yield folder
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _check(config: Config, folder: Path) -> dict[str, Any]:
    about = backups.read_about(folder)
    sums.check(folder)
    wanted = backups.POSTGRESQL if config.has_server else backups.SQLITE
    if about["kind"] != wanted:
        raise Failure(
            f"{folder} is of a coordinator with {about['kind']}, this one uses {wanted}; set nx_dte_coordinator_database_url "
            "as it was then"
        )
    if config.has_server:
        if not config.has_object_store and not (folder / backups.OBJECTS).is_dir():
            raise Failure(
                f"the artifacts of {folder} are in an object store; set nx_dte_coordinator_artifacts_url as it was then"
            )
        postgres.check_dump(config, folder / backups.DUMP, about["schema_revision"])
    return about


def _stage(config: Config, folder: Path) -> Path:
    """Bring the files to where they will be, on the same file system."""
    if not config.data_dir.is_dir():
        config.data_dir.parent.mkdir(parents=True, exist_ok=True)
        backups.new_folder(config.data_dir, config.uid)
    staged = backups.new_folder(config.data_dir / _STAGED, config.uid)
    try:
        if config.has_server:
            if not config.has_object_store:
                shutil.copytree(folder / backups.OBJECTS, staged / "artifacts" / "objects")
            backups.own(staged, config.uid)
        else:
            _stage_files(config, folder, staged)
    except Failure:
        shutil.rmtree(staged, ignore_errors=True)
        raise
    except OSError as error:
        shutil.rmtree(staged, ignore_errors=True)
        raise Failure(f"{staged} cannot be written: {error}; make room there") from error
    return staged


def _stage_files(config: Config, folder: Path, staged: Path) -> None:
    """By nx-dte's own command, which checks the database and that every artifact is there."""
    readable = folder
    if any(path.stat().st_uid != config.uid for path in (folder, folder / "manifest.json") if path.exists()):
        # Brought here by somebody else; the container's user must be able to read it.
        readable = config.backup_dir / f"{_STAGED}-copy"
        shutil.rmtree(readable, ignore_errors=True)
        shutil.copytree(folder, readable, symlinks=True)
        backups.own(readable, config.uid)
    try:
        in_container(
            config,
            config.image,
            {staged: "/var/lib/nx-dte", readable: "/backup:ro"},
            ["nx-dte", "coordinator", "restore", "/backup", "--config", "/etc/nx-dte/settings.toml"],
            f"{folder} cannot be restored",
        )
    finally:
        if readable != folder:
            shutil.rmtree(readable)


def _swap(config: Config, folder: Path, staged: Path, about: dict[str, Any]) -> list[str]:
    """Stop, put the old data aside and the new in its place, start, wait until it is ready."""
    aside = config.data_dir / (_ASIDE + time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
    service.stop(config)
    done = [f"stopped {config.unit}"]
    backups.new_folder(aside, config.uid)
    if config.has_server:
        done += _replace_database(config, folder, aside)
    try:
        for path in list(config.data_dir.iterdir()):
            if not path.name.startswith((_ASIDE, _STAGED)):
                path.rename(aside / path.name)
        for path in list(staged.iterdir()):
            path.rename(config.data_dir / path.name)
        if any(aside.iterdir()):
            done.append(f"moved the old data to {aside}; remove it when the coordinator has what you expect")
        else:
            aside.rmdir()
        done.append(f"restored {folder.name} (made on {about['host']}) into {config.data_dir}")
        service.start(config)
        service.wait_until_ready(config)
    except (Failure, OSError) as error:
        raise _Changed(
            f"{error}\nThe restore of {folder} did not end well: {'; '.join(done)}. To go back stop {config.unit}, move what is in "
            f"{aside} to {config.data_dir} ({backups.DUMP} is for pg_restore), and start it."
        ) from error
    return [*done, f"started {config.unit}, which is ready"]


def _replace_database(config: Config, folder: Path, aside: Path) -> list[str]:
    """All or nothing; when it is nothing, the coordinator goes on as before."""
    done = []
    try:
        if postgres.has_tables(config):
            postgres.dump(config, aside / backups.DUMP)
            done.append(f"dumped the database as it was to {aside / backups.DUMP}")
        postgres.restore(config, folder / backups.DUMP)
    except Failure:
        shutil.rmtree(aside)
        service.start(config)
        raise
    return done

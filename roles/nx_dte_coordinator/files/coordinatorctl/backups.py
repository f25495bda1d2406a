"""Backups on this host: dated folders, what they say of themselves, and which of them stay."""

from __future__ import annotations

import filecmp
import json
import os
import re
import shutil
import time
from typing import TYPE_CHECKING, Any

from config import Failure, say

if TYPE_CHECKING:
    from pathlib import Path

    from config import Config

ABOUT, FORM = "about.json", 1
SQLITE, POSTGRESQL = "sqlite", "postgresql"
DUMP, OBJECTS = "database.pgdump", "objects"
_NAME = re.compile(r"\d{8}T\d{6}Z(-[a-z0-9-]+)?")


def new_name(label: str) -> str:
    """The name of a backup that is made now."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()) + (f"-{label}" if label else "")


def all_of(config: Config) -> list[Path]:
    """Those of this host, oldest first."""
    if not config.backup_dir.is_dir():
        return []
    return sorted(
        folder
        for folder in config.backup_dir.iterdir()
        if _NAME.fullmatch(folder.name) and (folder / ABOUT).is_file()
    )


def write_about(folder: Path, **about: Any) -> None:
    """Write what the backup says of itself, beside nx-dte's own manifest."""
    file = folder / ABOUT
    file.touch(mode=0o600)
    file.write_text(json.dumps({"form": FORM, **about}, indent=2) + "\n", encoding="utf-8")


def read_about(folder: Path) -> dict[str, Any]:
    """What the backup says of itself.

    Raises:
        Failure: it is no backup of this kind.
    """
    try:
        about: dict[str, Any] = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        form = about["form"]
    except FileNotFoundError as error:
        raise Failure(
            f"{folder} is no backup of this playbook: it has no {ABOUT}; name one of `coordinatorctl list`, or an archive that "
            "backup.yml fetched"
        ) from error
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise Failure(f"{folder / ABOUT} cannot be read: {error}; take another backup") from error
    if form != FORM:
        raise Failure(
            f"{folder} has form {form}, this role knows form {FORM}; use the version of the role that made it"
        )
    return about


def share(folder: Path, earlier: Path | None) -> None:
    """Let artifacts that an earlier backup holds, too, take room once. The data folder's own are not shared: it may be lost."""
    if earlier is None:
        return
    for file in (folder / OBJECTS).rglob("*"):
        other = earlier / OBJECTS / file.relative_to(folder / OBJECTS)
        if not file.is_file() or not other.is_file() or not filecmp.cmp(file, other, shallow=False):
            continue
        linked = file.with_name(f"{file.name}.linked")
        try:
            os.link(other, linked)
        except OSError:  # another file system, or one without links
            return
        linked.replace(file)


def prune(config: Config) -> None:
    """Remove all but the newest."""
    for folder in all_of(config)[: -config.keep]:
        shutil.rmtree(folder)
        say(f"removed the old backup {folder}")


def own(folder: Path, uid: int) -> None:
    """Give a tree to the container's user, and to nobody else."""
    for path in (folder, *folder.rglob("*")):
        os.chown(path, uid, uid, follow_symlinks=False)


def new_folder(folder: Path, uid: int) -> Path:
    """A folder that only the container's user enters; what a crash left there goes."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    os.chown(folder, uid, uid)
    return folder

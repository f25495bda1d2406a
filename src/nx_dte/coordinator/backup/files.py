"""Files of a backup: private, linked where they can be, and durable before the backup bears its name."""

from __future__ import annotations

import hashlib
import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def link_or_copy(source: Path, target: Path) -> None:
    """A second name for a file that never changes, or a copy where the file system has no such thing."""
    try:
        target.hardlink_to(source)
    except FileNotFoundError:
        raise
    except OSError:  # another file system, or one without links
        copy_private(source, target)


def copy_private(source: Path, target: Path) -> None:
    """A copy that only its owner reads."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    target.touch(mode=0o600)
    shutil.copyfile(source, target)


def sha256(file: Path) -> str:
    """The digest of a file, in hex."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def write_private(file: Path, text: str) -> None:
    """A new file that only its owner reads."""
    file.touch(mode=0o600)
    file.write_text(text, encoding="utf-8")


def sync_tree(folder: Path) -> None:
    """Everything below the folder, and itself, reaches the disk."""
    for path in (*folder.rglob("*"), folder):
        sync(path)


def sync(path: Path) -> None:
    """A file's bytes, or a folder's names, reach the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

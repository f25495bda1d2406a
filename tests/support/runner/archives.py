"""Zip archives of artifacts and caches: paths by glob, with modes and links kept."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import zipfile
from fnmatch import fnmatch
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["matching", "pack", "unpack", "untracked"]

_MODE_SHIFT = 16


def matching(folder: Path, patterns: Iterable[str], exclude: Iterable[str] = ()) -> list[Path]:
    """Files, links and folders below `folder` that the patterns name; folders with all they hold."""
    excluded = tuple(exclude)
    found: set[Path] = set()
    for pattern in patterns:
        for path in folder.glob(pattern.strip("/").removeprefix("./") or "*"):
            if not path.resolve().is_relative_to(folder.resolve()) and not path.is_symlink():
                continue
            found.add(path)
            if path.is_dir() and not path.is_symlink():
                found.update(path.rglob("*"))
    return sorted(
        path
        for path in found
        if not any(fnmatch(str(path.relative_to(folder)), pattern) for pattern in excluded)
    )


def untracked(folder: Path) -> list[Path]:
    """What git does not know."""
    done = subprocess.run(
        ["git", "-C", str(folder), "ls-files", "--others", "-z"], capture_output=True, check=False
    )
    return [folder / name.decode() for name in done.stdout.split(b"\0") if name]


def pack(folder: Path, paths: Iterable[Path]) -> bytes:
    """A zip of these paths, named relative to the folder."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in paths:
            name = str(path.relative_to(folder))
            if path.is_symlink():
                entry = zipfile.ZipInfo(name)
                entry.create_system = 3
                entry.external_attr = (stat.S_IFLNK | 0o777) << _MODE_SHIFT
                archive.writestr(entry, str(path.readlink()))
            elif path.is_dir() or path.is_file():
                archive.write(path, name)
    return buffer.getvalue()


def unpack(content: bytes, folder: Path) -> int:
    """Put an archive's entries under the folder; how many there were."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        for entry in entries:
            mode = entry.external_attr >> _MODE_SHIFT
            target = folder / entry.filename
            if stat.S_ISLNK(mode):
                target.parent.mkdir(parents=True, exist_ok=True)
                target.unlink(missing_ok=True)
                target.symlink_to(archive.read(entry).decode())
                continue
            archive.extract(entry, folder)
            if mode:
                os.chmod(target, stat.S_IMODE(mode))  # noqa: PTH101 - follows nothing: links were handled
        return len(entries)

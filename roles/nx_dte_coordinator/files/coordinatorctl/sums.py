"""SHA256SUMS of a backup: written when it is made, held against its files before it is used."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from config import Failure

if TYPE_CHECKING:
    from pathlib import Path

SUMS = "SHA256SUMS"
PIECE = 1024 * 1024


def write(folder: Path) -> None:
    """Write the sums of every file, as sha256sum reads them."""
    lines = [f"{digest(folder / name)}  {name}\n" for name in _names(folder)]
    file = folder / SUMS
    file.touch(mode=0o600)
    file.write_text("".join(lines), encoding="utf-8")


def check(folder: Path) -> None:
    """Hold the files against the sums.

    Raises:
        Failure: a file is missing, changed, or not of the backup.
    """
    file = folder / SUMS
    if not file.is_file():
        raise Failure(
            f"{folder} is no backup of this playbook: it has no {SUMS}; name a folder that backup.yml made"
        )
    expected = dict(reversed(line.split("  ", 1)) for line in file.read_text(encoding="utf-8").splitlines())
    found = set(_names(folder))
    for name in sorted(found | set(expected)):
        if name not in expected:
            raise Failure(
                f"{folder}/{name} does not belong to the backup: {SUMS} does not know it; take another backup"
            )
        if name not in found:
            raise Failure(f"{folder}/{name} is missing; take another backup")
        if digest(folder / name) != expected[name]:
            raise Failure(
                f"{folder}/{name} is damaged: it is not as it was when the backup was made; take another backup"
            )


def digest(file: Path) -> str:
    """The sha256 of a file, in hex."""
    total = hashlib.sha256()
    with file.open("rb") as opened:
        while piece := opened.read(PIECE):
            total.update(piece)
    return total.hexdigest()


def _names(folder: Path) -> list[str]:
    files = (file for file in folder.rglob("*") if file.is_symlink() or not file.is_dir())
    return sorted(name for file in files if (name := str(file.relative_to(folder))) != SUMS)

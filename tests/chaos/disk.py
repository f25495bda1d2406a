"""A small disk of the coordinator's own, that can be filled to the last byte and freed again."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SmallDisk", "can_mount"]

_SIZE_MIB = 128
_CHUNK = 1024 * 1024


def can_mount() -> bool:
    """Whether this process may mount: only then there are full disks."""
    return os.geteuid() == 0


@dataclass(slots=True, kw_only=True)
class SmallDisk:
    """A tmpfs mounted at `folder`. A context manager."""

    folder: Path

    def __enter__(self) -> Self:
        """Mount it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        options = f"size={_SIZE_MIB}m,mode=0700"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "nx-dte-chaos", str(self.folder)], check=True)
        return self

    def __exit__(self, *exception: object) -> None:
        """Take it away, whoever still has a file open there."""
        subprocess.run(["umount", "--lazy", str(self.folder)], check=False)

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"

    def fill(self) -> None:
        """Leave no byte free."""
        descriptor = os.open(self._ballast, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            for size in (_CHUNK, 4096, 1):
                _write_until_full(descriptor, b"\0" * size)
        finally:
            os.close(descriptor)

    def free(self) -> None:
        """Give it back."""
        with contextlib.suppress(FileNotFoundError):
            self._ballast.unlink()


def _write_until_full(descriptor: int, block: bytes) -> None:
    while True:
        try:
            if os.write(descriptor, block) < len(block):
                return
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            return

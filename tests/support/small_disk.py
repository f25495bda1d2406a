"""A file system that is really full when a test says so: a small tmpfs.

As root it is mounted where the test wants it. Otherwise the process under test gets a mount namespace of its own, and the
test reaches into it through /proc. Where neither is allowed, `small_disk` skips.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["SmallDisk", "small_disk"]

_IN_NAMESPACE = ("unshare", "--user", "--map-root-user", "--mount")


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallDisk:
    """Where it is, and what a process must be started with to see it."""

    folder: Path
    command: tuple[str, ...]
    """Stands before the command line of the process that uses the disk; its process id is that of the command."""

    def seen_from(self, pid: int) -> Path:
        """The folder as the test reaches it, once process `pid` runs."""
        return Path(f"/proc/{pid}/root{self.folder}") if self.command else self.folder

    @staticmethod
    def fill(folder: Path) -> Path:
        """Write until nothing fits any more; returns the file to delete when there is to be room again."""
        ballast = folder / "ballast"
        with suppress(OSError), ballast.open("ab", buffering=0) as file:
            for size in (1024 * 1024, 4096, 1):
                with suppress(OSError):
                    while True:
                        file.write(b"x" * size)
        return ballast


@contextmanager
def small_disk(folder: Path, *, size_mib: int) -> Iterator[SmallDisk]:
    """A disk of `size_mib` at `folder`."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size_mib}m", "nx-dte-test", str(folder)]
    if os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0:
        try:
            yield SmallDisk(folder=folder, command=())
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
        return
    script = 'mount -t tmpfs -o "$1" nx-dte-test "$2" && shift 2 && exec "$@"'
    command = (*_IN_NAMESPACE, "sh", "-c", script, "sh", f"size={size_mib}m", str(folder))
    is_there = shutil.which("unshare") is not None
    if not is_there or subprocess.run([*command, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no small disk can be mounted here: neither as root nor in a user namespace")
    yield SmallDisk(folder=folder, command=command)

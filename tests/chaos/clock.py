"""A wall clock that can be stepped, for one process: libfaketime, preloaded, reads its offset from a file."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nx_dte.demo.layout import Layout

__all__ = ["SteppedClock", "find_library"]

_PACKAGE = "libfaketime"
_LIBRARY = "libfaketimeMT.so.1"
_TIMEOUT_S = 120


@dataclass(slots=True, kw_only=True)
class SteppedClock:
    """The clock of the processes started with `variables`."""

    library: Path
    file: Path
    offset_s: float = 0.0

    def __post_init__(self) -> None:
        self._write()

    @property
    def variables(self) -> dict[str, str]:
        """What such a process has in its environment."""
        return {
            "LD_PRELOAD": str(self.library),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            # Without it every wait for Python's interpreter lock, which is by the monotonic clock, ends at once.
            "FAKETIME_FORCE_MONOTONIC_FIX": "0",
            "FAKETIME_DISABLE_SHM": "1",
            "NO_FAKE_STAT": "1",
        }

    def step(self, seconds: float) -> None:
        """Step the clock, at once."""
        self.offset_s += seconds
        self._write()

    def _write(self) -> None:
        """Replace the file in one move: it is read at every look at the clock."""
        fresh = self.file.with_suffix(".new")
        fresh.write_text(f"{self.offset_s:+.0f}\n", encoding="ascii")
        fresh.replace(self.file)


def find_library(layout: Layout) -> Path | None:
    """The library, from this machine or from Debian's package unpacked in the cache; None where there is neither."""
    home = layout.cache / "toolchain" / "faketime"
    for folder in (home, Path("/usr/lib")):
        found = next(folder.rglob(_LIBRARY), None) if folder.is_dir() else None
        if found is not None:
            return found
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        return None
    return _unpack(home)


def _unpack(home: Path) -> Path | None:
    """Unpack Debian's package beside the other tools; nothing of the system changes."""
    with tempfile.TemporaryDirectory(prefix="nx-dte-faketime-") as folder:
        if not _succeeds(["apt-get", "-qq", "download", _PACKAGE], folder):
            return None
        for package in Path(folder).glob("*.deb"):
            if not _succeeds(["dpkg", "-x", str(package), "tree"], folder):
                return None
        tree = Path(folder) / "tree"
        if not tree.is_dir():
            return None
        shutil.copytree(tree, home, symlinks=True, dirs_exist_ok=True)
    return next(home.rglob(_LIBRARY), None)


def _succeeds(command: list[str], folder: str) -> bool:
    result = subprocess.run(command, cwd=folder, capture_output=True, timeout=_TIMEOUT_S, check=False)
    return result.returncode == 0

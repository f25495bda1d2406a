"""Finds the processes of a job by the HOME they inherited, wherever they have moved since."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from nx_dte.demo.workspace import Clone

__all__ = ["is_gone", "kill_all_of", "processes_at", "processes_of", "wait_until"]


def processes_of(clone: Clone) -> dict[int, str]:
    """Process id → command line of everything that was started by the clone's jobs, zombies left out."""
    return processes_at(clone.home)


def processes_at(home: Path) -> dict[int, str]:
    """The same for whatever has this folder as HOME."""
    wanted = f"HOME={home}".encode()
    found = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                command = (
                    (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace").strip()
                )
                found[int(folder.name)] = command
    return found


def is_gone(clone: Clone) -> bool:
    """Whether nothing of the clone's jobs runs any more."""
    return not processes_of(clone)


def kill_all_of(clone: Clone) -> None:
    """SIGKILL to every process of the clone, session leaders and helpers too: as if its host were gone."""
    for pid in processes_of(clone):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def wait_until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Look until `condition` holds; fail with `what` past the deadline."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout_s:g} s")
        time.sleep(0.1)

"""Everything a job has started, found by a mark in its environment, and ended.

Process groups do not reach far enough: Nx's executors and the servers of tests lead sessions of their own. The mark is
inherited by all of them, and children of a marked process count as marked whatever their environment.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MARK", "end_marked", "has_variable", "marked_processes"]

MARK = "NX_DTE_JOB_KEY"
_PROC = Path("/proc")
_LOOK_S = 0.05
_KILL_ROUNDS = 20


def has_variable(pid: int, entry: str) -> bool:
    """Whether a process was started with a variable: `NAME=value`, or `NAME=` for whatever value."""
    try:
        entries = (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return False  # gone, or somebody else's
    wanted = entry.encode()
    return any(each.startswith(wanted) if entry.endswith("=") else each == wanted for each in entries)


def marked_processes(key: str) -> set[int]:
    """Ids of the living processes with `NX_DTE_JOB_KEY=key`, and of all their descendants; never the caller's own."""
    parents = _parents()
    parents.pop(os.getpid(), None)
    found = {pid for pid in parents if has_variable(pid, f"{MARK}={key}")}
    before = -1
    while before != len(found):
        before = len(found)
        found |= {pid for pid, parent in parents.items() if parent in found}
    return found


def end_marked(
    key: str,
    *,
    grace_s: float,
    is_spared: Callable[[int], bool] = lambda _pid: False,
) -> bool:
    """End what carries the mark: SIGTERM, `grace_s` to go, then SIGKILL, which takes a second at most.

    Returns whether it is all gone. `is_spared` names processes that may live on.
    """
    _signal_all(_targets(key, is_spared), signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while _targets(key, is_spared):
        if time.monotonic() >= deadline:
            break
        time.sleep(_LOOK_S)
    for _ in range(_KILL_ROUNDS):  # one that is being looked for may start another
        left = _targets(key, is_spared)
        if not left:
            return True
        _signal_all(left, signal.SIGKILL)
        time.sleep(_LOOK_S)
    return not _targets(key, is_spared)


def _targets(key: str, is_spared: Callable[[int], bool]) -> set[int]:
    return {pid for pid in marked_processes(key) if not is_spared(pid)}


def _signal_all(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _parents() -> dict[int, int]:
    """Process id → parent's id (proc(5), fields 3 and 4 of stat); what has ended and is only not waited for is left out."""
    found = {}
    for folder in _PROC.iterdir():
        if not folder.name.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError, IndexError):
            text = (folder / "stat").read_text(encoding="utf-8", errors="replace")
            state, parent = text[text.rindex(")") + 2 :].split(" ", 2)[:2]
            if state not in {"Z", "X"}:
                found[int(folder.name)] = int(parent)
    return found

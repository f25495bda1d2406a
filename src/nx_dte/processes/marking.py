"""Everything a job has started, found by a mark in its environment, and ended.

Process groups do not reach far enough: Nx's executors and the servers of tests lead sessions of their own. The mark is
inherited by all of them, and children of a marked process count as marked whatever their environment.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from dataclasses import dataclass, field
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
    return {process.pid for process in _family(key, frozenset())}


def end_marked(
    key: str,
    *,
    grace_s: float,
    is_spared: Callable[[int], bool] = lambda _pid: False,
) -> bool:
    """End what carries the mark: SIGTERM, `grace_s` to go, then SIGKILL, which takes a second at most.

    Returns whether it is all gone. `is_spared` names processes that may live on.
    """
    known: set[_Process] = set()

    def left() -> set[int]:
        # Who was found once belongs to it still when its parent has gone first.
        living = _family(key, frozenset(known))
        known.update(living)
        return {process.pid for process in living if not is_spared(process.pid)}

    _signal_all(left(), signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while left():
        if time.monotonic() >= deadline:
            break
        time.sleep(_LOOK_S)
    for _ in range(_KILL_ROUNDS):  # one that is being looked for may start another
        pids = left()
        if not pids:
            return True
        _signal_all(pids, signal.SIGKILL)
        time.sleep(_LOOK_S)
    return not left()


@dataclass(frozen=True, slots=True)
class _Process:
    """One process for good: ids are used again, but not within the same tick."""

    pid: int
    started_at: str

    parent: int = field(compare=False)


def _family(key: str, known: frozenset[_Process]) -> set[_Process]:
    """Who is marked or known, and all their descendants."""
    living = _living()
    living.pop(os.getpid(), None)
    found = {each for each in living.values() if each in known or has_variable(each.pid, f"{MARK}={key}")}
    before = -1
    while before != len(found):
        before = len(found)
        pids = {each.pid for each in found}
        found |= {each for each in living.values() if each.parent in pids}
    return found


def _signal_all(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def _living() -> dict[int, _Process]:
    """Every process by its id (proc(5): fields 3, 4 and 22 of stat); what has ended and only waits to be waited for is not."""
    found = {}
    for folder in _PROC.iterdir():
        if not folder.name.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError, IndexError):
            text = (folder / "stat").read_text(encoding="utf-8", errors="replace")
            fields = text[text.rindex(")") + 2 :].split(" ")
            if fields[0] not in {"Z", "X"}:
                pid = int(folder.name)
                found[pid] = _Process(pid, fields[19], int(fields[1]))
    return found

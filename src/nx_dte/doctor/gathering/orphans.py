"""Whether somebody waits for orphans, found out by making one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nx_dte.doctor.gathering.programs import Programs

__all__ = ["is_reaping"]

_MAKE_ONE = "sleep 0.2 >/dev/null 2>&1 & echo $!"
PATIENCE_S = 3.0
"""How long an orphan that has ended may stay a zombie before nobody is taken to wait for it."""
_LOOK_S = 0.05
_ENDED = frozenset({"Z", "X"})


def is_reaping(programs: Programs, *, patience_s: float = PATIENCE_S) -> bool | None:
    """Whether an orphan that has ended goes away; None where that cannot be seen. Leaves one zombie where it does not."""
    shell = programs.where("sh")
    if shell is None:
        return None
    made = programs.run(shell, "-c", _MAKE_ONE)
    if not made.is_success or not made.output.isdecimal():
        return None
    zombie_since: float | None = None
    while time.monotonic() < programs.deadline:
        state = _state(int(made.output))
        if state is None:
            return True
        if state in _ENDED:
            zombie_since = time.monotonic() if zombie_since is None else zombie_since
            if time.monotonic() - zombie_since >= patience_s:
                return False
        time.sleep(_LOOK_S)
    return None


def _state(pid: int) -> str | None:
    """The letter proc(5) gives a process; None when it is gone."""
    try:
        text = (Path("/proc") / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return text[text.rindex(")") + 2 :][:1] or None

"""What the light client's own lines say about the agent, and sections made of them. Pure but for what it is given.

An agent prints a task's output in one piece, once the task has ended, under `[nx-dte] output of X:`. That piece becomes
a section, which ends with the next line of ours. Lines of another client go through as they are.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from nx_dte.gitlab.sections import SectionLog

__all__ = ["AgentLog"]

_OURS = b"[nx-dte] "
_JOINED = re.compile(rb"\[nx-dte\] \S.* joined CI run \S+ as agent ")
_START = re.compile(rb"\[nx-dte\] start: (\S+)")
_END = re.compile(
    rb"\[nx-dte\] (?:(?:WARNING|ERROR): )?(?:(?:done|FAILED|NOT STORED, main runs it): (\S+) \("
    rb"|(\S+) (?:goes back to the queue|was taken back|could not be reported)|the report of (\S+) was refused)"
)
_OUTPUT = re.compile(rb"\[nx-dte\] output of (.+):\r?\n?$")
_LEAVING = re.compile(rb"\[nx-dte\] SIG[A-Z]+: leaving")


class AgentLog:
    """Passes an agent's lines on, with a section for each task's output, and remembers what they said."""

    def __init__(self, *, write: Callable[[bytes], object], sections: SectionLog) -> None:
        """`write` gets lines; `sections` writes to the same place."""
        self._write = write
        self._sections = sections
        self._open: str | None = None
        self.has_joined = False
        self.is_leaving = False
        """It has said that it heard the signal."""
        self.running: set[bytes] = set()
        """Tasks that began and have not ended."""

    def forget(self) -> None:
        """Another agent process begins."""
        self.end_section()
        self.has_joined = False
        self.is_leaving = False
        self.running.clear()

    def take(self, line: bytes) -> bool:
        """Pass a line on; returns whether it says that the agent does something."""
        if not line.startswith(_OURS):
            self._write(line)
            return False
        self.end_section()
        output = _OUTPUT.match(line)
        if output is not None:
            task = output[1].decode("utf-8", "replace")
            self._open = self._sections.start(f"task_{task}", f"{task}: output", is_collapsed=True)
            return True
        self._write(line)
        return self._note(line)

    def end_section(self) -> None:
        """End the section that is open, if one is."""
        if self._open is not None:
            self._sections.end(self._open)
            self._open = None

    def _note(self, line: bytes) -> bool:
        if _JOINED.match(line):
            self.has_joined = True
            return True
        if _LEAVING.match(line):
            self.is_leaving = True
        started, ended = _START.match(line), _END.match(line)
        if started is not None:
            self.running.add(started[1])
        if ended is not None:
            self.running.discard(ended[1] or ended[2] or ended[3])
        return started is not None or ended is not None

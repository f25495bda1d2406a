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
    rb"|(\S+) (?:is left to another agent|was taken back|could not be reported)"
    rb"|the report of (\S+) was refused)"
)
_OUTPUT = re.compile(rb"\[nx-dte\] output of (.+):\r?\n?$")
_LEAVING = re.compile(rb"\[nx-dte\] SIG[A-Z]+: leaving")


class AgentLog:
    """Passes an agent's lines on, with a section for each task's output, and remembers what they said."""

    def __init__(
        self, *, write: Callable[[bytes], object], sections: SectionLog, now: Callable[[], float]
    ) -> None:
        """`write` gets lines; `sections` writes to the same place; `now` is the sections' clock."""
        self._write = write
        self._sections = sections
        self._now = now
        self._open: str | None = None
        self._holds_blank = False
        """The client prints an empty line before an output; in a log with sections it only takes room."""
        self.has_joined = False
        self.is_leaving = False
        """It has said that it heard the signal."""
        self.running: dict[bytes, float] = {}
        """Tasks that began and have not ended, and when they began."""

    def forget(self) -> None:
        """Another agent process begins."""
        self.end_section()
        self.has_joined = False
        self.is_leaving = False
        self.running.clear()

    def take(self, line: bytes) -> bool:
        """Pass a line on; returns whether it says that the agent does something."""
        output = _OUTPUT.match(line)
        if output is not None:
            self._holds_blank = False
            self.end_section()
            task = output[1].decode("utf-8", "replace")
            self._open = self._sections.start(
                f"task_{task}",
                f"{task}: output",
                is_collapsed=True,
                # So that GitLab shows how long it took.
                began_at=self.running.get(output[1]),
            )
            return True
        if line == b"\n" and self._open is None and not self._holds_blank:
            self._holds_blank = True
            return False
        if not line.startswith(_OURS):
            self._pass_on(line)
            return False
        self.end_section()
        self._pass_on(line)
        return self._note(line)

    def end_section(self) -> None:
        """End the section that is open, if one is, and hold nothing back."""
        if self._holds_blank:
            self._holds_blank = False
            self._write(b"\n")
        if self._open is not None:
            self._sections.end(self._open)
            self._open = None

    def _pass_on(self, line: bytes) -> None:
        if self._holds_blank:
            self._holds_blank = False
            self._write(b"\n")
        self._write(line)

    def _note(self, line: bytes) -> bool:
        if _JOINED.match(line):
            self.has_joined = True
            return True
        if _LEAVING.match(line):
            self.is_leaving = True
        started, ended = _START.match(line), _END.match(line)
        if started is not None:
            self.running[started[1]] = self._now()
        if ended is not None:
            self.running.pop(ended[1] or ended[2] or ended[3], None)
        return started is not None or ended is not None

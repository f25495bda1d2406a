"""Runs one command of the job to its end, or to the signal that ends the job."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nx_dte.processes import ERRORS, STOP_CODES, Child, StoppedError, write_to_log

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from nx_dte.gitlab.sections import SectionLog
    from nx_dte.processes import StopSignals

__all__ = ["StepRunner"]

LOOK_S = 0.05
SAME_SIGNAL_S = 0.5
"""A cancelled job's processes are told one after the other: who hears of a child's end may be the next."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRunner:
    """Runs commands one after the other, each in a section of the log."""

    folder: Path
    sections: SectionLog
    stopping: StopSignals

    def run(
        self,
        title: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        is_collapsed: bool = False,
    ) -> int:
        """Run a command; returns its exit code as a shell says it.

        Raises:
            StoppedError: the job was told to stop; the command may still run.
        """
        self._heed()
        with self.sections.section(f"nx_dte_{title}", f"$ {title}", is_collapsed=is_collapsed):
            code = self._watched(Child(argv, env=env, cwd=self.folder))
        return -1 if code is None else code  # without a deadline there is always one

    def run_for(
        self, argv: Sequence[str], *, env: Mapping[str, str], timeout_s: float, heeds_signals: bool = True
    ) -> int | None:
        """Run a command of the job's end; None when it took too long, and then it is told to end.

        Raises:
            StoppedError: as for `run`, where it `heeds_signals`.
        """
        child = Child(argv, env=env, cwd=self.folder)
        return self._watched(child, timeout_s=timeout_s, heeds_signals=heeds_signals)

    def _watched(
        self, child: Child, *, timeout_s: float | None = None, heeds_signals: bool = True
    ) -> int | None:
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while (code := child.poll()) is None:
            if heeds_signals:
                self._heed()
            if deadline is not None and time.monotonic() >= deadline:
                child.ask_to_end()
                return None
            time.sleep(LOOK_S)
        for line in child.lines():  # one that could not be started says so here
            write_to_log(line, stream=ERRORS)
        if heeds_signals:
            self._heed_same_signal(code)
        return code

    def _heed_same_signal(self, code: int) -> None:
        """A command that was told to end together with this job has not failed: its end is no result."""
        deadline = time.monotonic() + (SAME_SIGNAL_S if code in STOP_CODES else 0.0)
        while self.stopping.received is None and time.monotonic() < deadline:
            time.sleep(LOOK_S)
        self._heed()

    def _heed(self) -> None:
        if self.stopping.received is not None:
            raise StoppedError

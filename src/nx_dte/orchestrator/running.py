"""Runs one command of the job to its end, or to the signal that ends the job."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nx_dte.processes import Child

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from nx_dte.gitlab.sections import SectionLog
    from nx_dte.processes import StopSignals

__all__ = ["JobStoppedError", "StepRunner"]

LOOK_S = 0.05


class JobStoppedError(Exception):
    """The job was told to stop while a command ran."""


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
            JobStoppedError: the job was told to stop; the command may still run.
        """
        if self.stopping.received is not None:
            raise JobStoppedError
        with self.sections.section(f"nx_dte_{title}", f"$ {title}", is_collapsed=is_collapsed):
            return self._watched(Child(argv, env=env, cwd=self.folder))

    def run_for(self, argv: Sequence[str], *, env: Mapping[str, str], timeout_s: float) -> int | None:
        """Run a command of the job's end, whatever signals come; None when it took too long, and then it is ended."""
        child = Child(argv, env=env, cwd=self.folder)
        deadline = time.monotonic() + timeout_s
        while (code := child.poll()) is None:
            if time.monotonic() >= deadline:
                child.ask_to_end()
                return None
            time.sleep(LOOK_S)
        self._last_words(child)
        return code

    def _watched(self, child: Child) -> int:
        while (code := child.poll()) is None:
            if self.stopping.received is not None:
                raise JobStoppedError
            time.sleep(LOOK_S)
        self._last_words(child)
        if self.stopping.received is not None:
            raise JobStoppedError  # told at once, as in a container: its end is no result
        return code

    @staticmethod
    def _last_words(child: Child) -> None:
        """A command that could not be started says so here."""
        for line in child.lines():
            sys.stderr.buffer.write(line)
        sys.stderr.flush()

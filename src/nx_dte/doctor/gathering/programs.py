"""Programs on PATH: run for a moment, with a deadline, and never in the checkout unless told so."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nx_dte.doctor.facts import Program
from nx_dte.doctor.versions import dotted, version_of

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Programs", "Ran"]

MOST_S = 8.0
"""For one program, after which others are asked."""
VERSION_S = 11.0
"""For a program's version, which nothing waits for: several jobs that begin at once on a busy machine take their time to start Node."""
_LAST_WORDS_S = 0.5
_NEUTRAL = Path("/")
"""Where no file of a repository can have a say."""
_ADDED = {
    "LC_ALL": "C",
    "GIT_TERMINAL_PROMPT": "0",
    # git status must not write the index.
    "GIT_OPTIONAL_LOCKS": "0",
    # corepack's stubs of yarn and pnpm fetch those from the network unless they are told not to.
    "COREPACK_ENABLE_NETWORK": "0",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a program ended."""

    code: int | None
    """None: it was ended, as its time was over, or it could not be started."""
    output: str = ""
    complaint: str = ""
    """The line that says what is wrong."""
    is_late: bool = False
    """It was ended, as its time was over."""

    @property
    def is_success(self) -> bool:
        """Exit code 0."""
        return self.code == 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """The programs of a job's PATH."""

    environ: Mapping[str, str] = field(repr=False)
    deadline: float
    """On the monotonic clock: nothing runs beyond it."""

    def where(self, name: str) -> str | None:
        """The program's path; None if it is not there."""
        return shutil.which(name, path=self.environ.get("PATH"))

    def named(self, name: str, *arguments: str) -> Program:
        """A program and its version, which it prints for `arguments` (without any, for --version)."""
        path = self.where(name)
        if path is None:
            return Program(name=name)
        ran = self.run(path, *(arguments or ("--version",)), most_s=VERSION_S)
        version = version_of(ran.output) if ran.is_success else None
        return Program(
            name=name,
            path=path,
            version=None if version is None else dotted(version),
            problem=None if version is not None else ran.complaint or f"exit code {ran.code}",
            is_late=ran.is_late,
        )

    def run(self, program: str, *arguments: str, folder: Path = _NEUTRAL, most_s: float = MOST_S) -> Ran:
        """Run it, with everything it starts, until it ends or its time is over. Never raises."""
        timeout_s = min(most_s, self.deadline - time.monotonic())
        if timeout_s <= 0:
            return Ran(code=None, complaint="there was no time left to ask it", is_late=True)
        try:
            process = subprocess.Popen(
                [program, *arguments],
                cwd=folder,
                env={**self.environ, **_ADDED},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            return Ran(code=None, complaint=error.strerror or str(error))
        try:
            output, said = process.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            # Something that left the session may still hold the pipes.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.communicate(timeout=_LAST_WORDS_S)
            return Ran(code=None, complaint=f"it did not end within {timeout_s:.0f} s", is_late=True)
        return Ran(code=process.returncode, output=output.strip(), complaint=_complaint(said))


def _complaint(said: str) -> str:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return next(
        (line for line in lines if line.lower().startswith(("fatal:", "error:", "usage error:"))),
        lines[-1] if lines else "",
    )

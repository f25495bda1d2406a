"""Where a job's steps run: a shell on this host."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Protocol

from tests.support.runner.processes import MARK, marked, signal_marked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.runner.config import Entry

__all__ = ["Executor", "ShellExecutor", "executor_for"]

_LOOK_S = 0.05
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "LOGNAME")


class Executor(Protocol):
    """Runs one job's steps, one after the other, and reaches every process they have left anywhere."""

    def run(self, script: str, write: Callable[[bytes], None]) -> int:
        """Run to the end, with all output written; the exit code, negative for a signal."""

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to every process of the job."""

    def processes(self) -> list[int]:
        """What still runs of the job."""

    def kill(self) -> None:
        """SIGKILL to every process of the job, until none is left. Nothing starts afterwards."""


def executor_for(entry: Entry, folder: Path) -> Executor:
    """The executor that the entry names, for a job whose checkout lies under `folder`.

    Raises:
        ValueError: There is none of that name here.
    """
    if entry.executor == "shell":
        return ShellExecutor(folder=folder)
    raise ValueError(f"this runner knows the shell executor, not {entry.executor!r}")


@dataclass(slots=True, kw_only=True)
class ShellExecutor:
    """Bash on this host, in a session of its own.

    A step lasts until nobody holds its output any more: a left-over process that does keeps the job running; one that
    does not outlives it. Both as the real shell executor does.
    """

    folder: Path
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    is_killed: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, script: str, write: Callable[[bytes], None]) -> int:
        """See Executor."""
        self.folder.mkdir(parents=True, exist_ok=True)
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        with self._lock:
            if self.is_killed:
                return -signal.SIGKILL
            process = subprocess.Popen(
                ["bash"],
                cwd=self.folder,
                env={**environment, MARK: self.mark},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        assert process.stdin is not None
        assert process.stdout is not None
        with process.stdout as output:
            feeder = threading.Thread(target=_feed, args=(process.stdin, script), daemon=True)
            feeder.start()
            for line in iter(output.readline, b""):
                write(line)
            feeder.join()
        return process.wait()

    def kill(self) -> None:
        """See Executor."""
        with self._lock:
            self.is_killed = True
        while signal_marked(self.mark, signal.SIGKILL):
            time.sleep(_LOOK_S)

    def signal(self, number: signal.Signals) -> None:
        """See Executor."""
        signal_marked(self.mark, number)

    def processes(self) -> list[int]:
        """See Executor."""
        return marked(self.mark)


def _feed(pipe: IO[bytes], script: str) -> None:
    # Bash may end before it has read all.
    with contextlib.suppress(BrokenPipeError), pipe:
        pipe.write(script.encode())

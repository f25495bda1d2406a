"""Where a job's steps run: a shell on this host, or a container."""

from __future__ import annotations

import contextlib
import os
import pwd
import signal
import subprocess
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, Protocol

from tests.support.runner.docker_executor import DockerExecutor
from tests.support.runner.processes import MARK, marked, signal_marked

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.runner.config import Entry
    from tests.support.runner.job import Job

__all__ = ["KINDS", "OTHERS", "Executor", "ShellExecutor", "executor_for"]

KINDS = ("shell", "docker")
OTHERS = ("docker-autoscaler", "instance", "kubernetes", "ssh")
"""What the real runner also knows: an entry with one of these is taken, and gets no jobs."""

_LOOK_S = 0.05
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "USER", "LOGNAME")


class Executor(Protocol):
    """Runs one job's steps, one after the other, and reaches every process they have left anywhere."""

    umask: int
    """Of what the runner itself writes into the job's folders."""

    def prepare(self, write: Callable[[bytes], None]) -> None:
        """Get ready what the steps need; says so in the job's log."""

    def inside(self, path: Path) -> str:
        """A path of this host as the job sees it."""

    def hand_over(self, path: Path) -> None:
        """Let the job change what the runner has written there."""

    def run(self, script: str, write: Callable[[bytes], None]) -> int:
        """Run to the end, with all output written; the exit code, negative for a signal."""

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to every process of the job."""

    def processes(self) -> list[int]:
        """What still runs of the job."""

    def kill(self) -> None:
        """SIGKILL to every process of the job, until none is left. Nothing starts afterwards."""


def executor_for(entry: Entry, folder: Path, job: Job, slot: int) -> Executor:
    """The executor that the entry names, for a job whose checkout lies under `folder`.

    Raises:
        ValueError: There is none of that name here.
    """
    if entry.executor == "shell":
        return ShellExecutor(folder=folder, user=entry.user)
    if entry.executor == "docker":
        return DockerExecutor(entry=entry, settings=entry.docker, folder=folder, job=job, slot=slot)
    raise ValueError(entry.executor)


@dataclass(slots=True, kw_only=True)
class ShellExecutor:
    """Bash on this host, in a session of its own.

    A step lasts until nobody holds its output any more: a left-over process that does keeps the job running; one that
    does not outlives it. Both as the real shell executor does.
    """

    folder: Path
    user: str = ""
    """Whose its processes are."""
    umask: int = 0o022
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)
    is_killed: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def prepare(self, write: Callable[[bytes], None]) -> None:
        """See Executor."""
        write(b"Using Shell (bash) executor...\n")
        self.folder.mkdir(parents=True, exist_ok=True)

    def inside(self, path: Path) -> str:
        """See Executor."""
        return str(path)

    def hand_over(self, path: Path) -> None:
        """See Executor."""
        if self.user:
            subprocess.run(["chown", "--recursive", f"{self.user}:", path, self.folder], check=True)

    def run(self, script: str, write: Callable[[bytes], None]) -> int:
        """See Executor."""
        self.folder.mkdir(parents=True, exist_ok=True)
        environment = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        identity: dict[str, Any] = {}
        if self.user:
            known = pwd.getpwnam(self.user)
            groups = os.getgrouplist(self.user, known.pw_gid)
            identity = {"user": known.pw_uid, "group": known.pw_gid, "extra_groups": groups}
            environment |= {"HOME": known.pw_dir, "USER": self.user, "LOGNAME": self.user}
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
                umask=self.umask,
                **identity,
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

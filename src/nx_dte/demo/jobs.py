"""Jobs as GitLab's shell executor runs them: one bash in a session of its own, fed a script, its output captured.

A job has ended when its shell has ended *and* nothing holds its output any more, as on a real runner: a background
process that keeps the job's stdout keeps the job.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nx_dte.demo.errors import DemoFailedError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from nx_dte.demo.layout import Layout
    from nx_dte.demo.workspace import Clone

__all__ = ["Job", "JobSpec", "LogLine", "base_environment", "gitlab_variables", "start_job"]

_KILL_WAIT_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line of a job's output and when it came, by the monotonic clock."""

    at: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """What a job runs: its lines (echoed as GitLab does), where, and with which variables."""

    name: str
    script: Sequence[str]
    clone: Clone
    environment: Mapping[str, str]


@dataclass(slots=True, kw_only=True)
class Job:
    """A running or ended job."""

    spec: JobSpec
    process: subprocess.Popen[bytes]
    started_at: float
    log_file: Path
    lines: list[LogLine] = field(default_factory=list)
    ended_at: float | None = None
    _pump: threading.Thread | None = None

    @property
    def log(self) -> str:
        """Everything the job has printed so far."""
        return "\n".join(line.text for line in self.lines)

    @property
    def is_running(self) -> bool:
        """Whether GitLab would still show the job as running."""
        return self.process.poll() is None or (self._pump is not None and self._pump.is_alive())

    @property
    def duration_s(self) -> float:
        """From the start to the end (or until now)."""
        return (self.ended_at or time.monotonic()) - self.started_at

    def wait(self, timeout_s: float) -> int:
        """Wait for the job's end; returns its exit code. Past the deadline the job is killed and this raises."""
        deadline = time.monotonic() + timeout_s
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise DemoFailedError(self._late("did not end", timeout_s)) from None
        assert self._pump is not None  # noqa: S101 - start_job sets it
        self._pump.join(max(0.1, deadline - time.monotonic()))
        if self._pump.is_alive():
            self.kill()
            raise DemoFailedError(self._late("ended, but something still holds its output", timeout_s))
        return code

    def wait_for_text(self, text: str, timeout_s: float) -> LogLine:
        """Wait until a line holds `text`; raises when the job ends or the deadline passes without."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            was_running = self.is_running
            found = next((line for line in list(self.lines) if text in line.text), None)
            if found is not None:
                return found
            if not was_running:
                break
            time.sleep(0.05)
        raise DemoFailedError(self._late(f"never printed {text!r}", timeout_s))

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Signal the job's whole process group, as a runner does when a job is cancelled or its host dies."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)
        if number == signal.SIGKILL:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(_KILL_WAIT_S)
            if self._pump is not None:
                self._pump.join(_KILL_WAIT_S)

    def _late(self, what: str, timeout_s: float) -> str:
        return f"job {self.spec.name} {what} within {timeout_s:g} s; its output:\n{self.log}"

    def follow(self, on_line: Callable[[LogLine], None] | None) -> None:
        """Begin to collect the job's output; called once, by `start_job`."""
        self._pump = threading.Thread(
            target=self._collect, args=(on_line,), name=f"log of {self.spec.name}", daemon=True
        )
        self._pump.start()

    def _collect(self, on_line: Callable[[LogLine], None] | None) -> None:
        """Move the job's output into the log, line by line, until nobody holds its other end."""
        stream = self.process.stdout
        assert stream is not None  # noqa: S101 - start_job asks for a pipe
        with stream, self.log_file.open("wb") as log:
            for raw in stream:
                log.write(raw)
                log.flush()
                line = LogLine(at=time.monotonic(), text=raw.decode("utf-8", "replace").rstrip("\n"))
                self.lines.append(line)
                if on_line is not None:
                    on_line(line)
        self.process.wait()
        self.ended_at = time.monotonic()


def start_job(spec: JobSpec, *, on_line: Callable[[LogLine], None] | None = None) -> Job:
    """Start a job in its clone; its log is also kept beside the clone."""
    folder = spec.clone.path.parent
    script = folder / f"{spec.name}.sh"
    script.write_text(_render(spec.script), encoding="utf-8")
    started_at = time.monotonic()
    process = subprocess.Popen(
        ["bash", str(script)],
        cwd=spec.clone.path,
        env=dict(spec.environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    job = Job(spec=spec, process=process, started_at=started_at, log_file=folder / f"{spec.name}.log")
    job.follow(on_line)
    return job


def _render(lines: Sequence[str]) -> str:
    """The script GitLab would make: each line echoed, the first failure ends it."""
    parts = ["set -eo pipefail"]
    for line in lines:
        quoted = line.replace("'", "'\\''")
        parts += [f"printf '%s\\n' '$ {quoted}'", line]
    return "\n".join(parts) + "\n"


def base_environment(layout: Layout, clone: Clone) -> dict[str, str]:
    """What every process of a job inherits: the toolchain first on PATH, the clone's HOME, nothing of ours."""
    path = f"{layout.toolchain_path}:{os.environ.get('PATH', os.defpath)}"
    return {"PATH": path, "HOME": str(clone.home), "LANG": "C.UTF-8"}


def gitlab_variables(
    clone: Clone, *, base: str, pipeline_id: int, job_id: int, job_name: str
) -> dict[str, str]:
    """The predefined variables of a branch pipeline that bear on this product."""
    return {
        "CI": "true",
        "GITLAB_CI": "true",
        "CI_SERVER_NAME": "GitLab",
        "CI_PROJECT_DIR": str(clone.path),
        "CI_PROJECT_ID": "42",
        "CI_PROJECT_PATH": "shop/corner-shop",
        "CI_PIPELINE_ID": str(pipeline_id),
        "CI_PIPELINE_IID": str(pipeline_id),
        "CI_PIPELINE_SOURCE": "push",
        "CI_JOB_ID": str(job_id),
        "CI_JOB_NAME": job_name,
        "CI_JOB_STAGE": "affected",
        "CI_COMMIT_SHA": clone.commit,
        "CI_COMMIT_BEFORE_SHA": base,
        "CI_COMMIT_BRANCH": "main",
        "CI_COMMIT_REF_NAME": "main",
        "CI_DEFAULT_BRANCH": "main",
    }

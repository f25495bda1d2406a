"""One job from its hand-out to its final state."""

from __future__ import annotations

import gzip
import signal
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support.runner import caches
from tests.support.runner.archives import matching, pack, unpack, untracked
from tests.support.runner.executors import executor_for
from tests.support.runner.script import bash_script
from tests.support.runner.sources import SourcesError, get_sources
from tests.support.runner.trace import Trace
from tests.support.runner.version import VERSION

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.runner.api import GitLabCalls
    from tests.support.runner.config import Entry
    from tests.support.runner.executors import Executor
    from tests.support.runner.job import Job, Upload

__all__ = ["Build", "Timing"]

_AFTER_SCRIPT_S = 300.0
_LOOK_S = 0.05
_NEVER_RAN = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Waits that tests may shorten; the defaults are those of the real runner."""

    trace_interval_s: float | None = None
    """Between two pieces of the trace, which is when a cancel is noticed; None as GitLab asks for."""
    kill_after_s: float = 9.0
    """From SIGTERM to SIGKILL of a cancelled job."""
    kill_after_canceling_s: float = 19.0
    """The same for one that GitLab lets end gracefully."""


@dataclass(slots=True, kw_only=True)
class _End:
    state: str
    exit_code: int | None = None
    failure_reason: str | None = None


@dataclass(slots=True, kw_only=True)
class Build:
    """Runs one job in one slot. `cancel` and `lose` may come from other threads at any time."""

    entry: Entry
    job: Job
    calls: GitLabCalls
    slot: int
    timing: Timing
    executor: Executor = field(init=False)
    trace: Trace = field(init=False)
    _reason: str | None = None
    """Why the script is being stopped: `canceled`, `canceling`, `timeout`, `interrupted`, `lost`."""
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _killer: threading.Timer | None = None
    _deadline: float = 0.0
    """When what is left of a stopped script is killed, on the monotonic clock."""

    def __post_init__(self) -> None:
        """Place it: folders are those of the real shell executor."""
        folder = self.project_dir.parent if self._is_shell else self._slot_dir
        self.executor = executor_for(self.entry, folder, self.job, self.slot)
        self.trace = Trace(self.calls, self.job, on_cancel=self.stop, interval_s=self.timing.trace_interval_s)

    @property
    def project_dir(self) -> Path:
        """The checkout: kept from job to job of the same slot."""
        path = self.job.variables.get("CI_PROJECT_PATH", f"project-{self.job.project_id}")
        return self._slot_dir / path

    @property
    def _is_shell(self) -> bool:
        return self.entry.executor == "shell"

    @property
    def _slot_dir(self) -> Path:
        return self.entry.builds_dir / self.entry.short_token / str(self.slot)

    # ------------------------------------------------------------------------------------------ from outside
    def stop(self, reason: str) -> None:
        """Tell every process of the job, and kill what is left some seconds later."""
        after_s = self.timing.kill_after_canceling_s if reason == "canceling" else self.timing.kill_after_s
        with self._lock:
            if self._reason is not None:
                return
            self._reason = reason
            self._deadline = time.monotonic() + after_s
            self._killer = threading.Timer(after_s, self._kill_script)
            self._killer.daemon = True
            self._killer.start()
        self.executor.signal(signal.SIGTERM)

    def lose(self) -> None:
        """The host is gone: everything dies at once and nothing is reported any more."""
        with self._lock:
            self._reason = "lost"
        self.executor.kill()

    # -------------------------------------------------------------------------------------------------- run
    def run(self) -> None:
        """Run the job to its end and report it."""
        self.trace.line(f"Running with the protocol client on {self.entry.name or self.entry.short_token}")
        self.trace.start()
        try:
            end = self._steps()
        except Exception as error:
            end = _End(state="failed", failure_reason="runner_system_failure")
            self.trace.line(f"ERROR: Job failed (system failure): {error!r}")
            if not isinstance(error, OSError | ValueError):
                self._report(end)
                raise
        self._report(end)

    def _report(self, end: _End) -> None:
        if self._reason == "lost":
            self.trace.abandon()
            return
        self.trace.finish(end.state, exit_code=end.exit_code, failure_reason=end.failure_reason)

    def _steps(self) -> _End:
        self._section("prepare_executor", lambda: self.executor.prepare(self.trace.write))
        try:
            self._section("get_sources", self._get_sources)
        except SourcesError as error:
            return self._failed(error.exit_code)
        self._section("restore_cache", self._restore_caches)
        self._section("download_artifacts", self._download)
        self.executor.hand_over(self.project_dir)
        exit_code = self._script(self.job.script, self.job.timeout_s, "running")
        if self._reason == "lost":
            return _End(state="failed")
        is_success = exit_code == 0 and self._reason is None
        if self.job.after_script and self._reason in {None, "canceling"}:
            self._after_script(is_success=is_success)
        if self._reason is None:
            for cache in self.job.caches:
                caches.save(
                    self.job, cache, self.entry.cache_dir, self.project_dir, self.trace.line, is_success=is_success
                )  # fmt: skip
            for upload in self.job.uploads:
                if upload.when in {"always", "on_success" if is_success else "on_failure"}:
                    self._upload(upload)
        if is_success:
            self.trace.line("Job succeeded")
            return _End(state="success", exit_code=0)
        return self._failed(exit_code)

    def _failed(self, exit_code: int) -> _End:
        if self._reason in {"canceled", "canceling", "failed"}:
            self.trace.line("ERROR: Job failed: canceled")
            return _End(state="failed", failure_reason="unknown_failure")
        if self._reason == "timeout":
            self.trace.line(f"ERROR: Job failed: execution took longer than {self.job.timeout_s}s seconds")
            return _End(state="failed", failure_reason="job_execution_timeout")
        if self._reason == "interrupted":
            self.trace.line("ERROR: Job failed (system failure): aborted: terminated")
            return _End(state="failed", failure_reason="runner_system_failure")
        # A script that a signal ended: the code a shell would give.
        code = exit_code if exit_code >= 0 else 128 - exit_code
        self.trace.line(f"ERROR: Job failed: exit status {code}")
        return _End(state="failed", exit_code=code, failure_reason="script_failure")

    # ------------------------------------------------------------------------------------------------ steps
    def _script(self, lines: tuple[str, ...], timeout_s: float, status: str) -> int:
        if self._why_stopped() is not None:
            return _NEVER_RAN
        clock = threading.Timer(timeout_s, self.stop, ["timeout"])
        clock.daemon = True
        clock.start()
        self._mark_section("start", "step_script")
        try:
            text = bash_script(lines, self._variables(status), self.executor.inside(self.project_dir))
            return self.executor.run(text, self.trace.write)
        finally:
            clock.cancel()
            if self._why_stopped() not in {None, "lost"}:
                self._outlast()
            self._mark_section("end", "step_script")

    def _why_stopped(self) -> str | None:
        """The reason, as it is now: other threads set it."""
        return self._reason

    def _outlast(self) -> None:
        """Wait for processes that have left the script's output alone; past the deadline they are killed."""
        with self._lock:
            killer, deadline = self._killer, self._deadline
        while self.executor.processes() and time.monotonic() < deadline:
            time.sleep(_LOOK_S)
        if killer is not None:
            # It must have ended before an after_script starts, or it would kill that.
            killer.cancel()
            killer.join()
        self._kill_script()

    def _kill_script(self) -> None:
        """Kill the processes, but let an after_script start yet."""
        while self.executor.processes():
            self.executor.signal(signal.SIGKILL)
            time.sleep(_LOOK_S)

    def _after_script(self, *, is_success: bool) -> None:
        status = "canceled" if self._reason else ("success" if is_success else "failed")
        clock = threading.Timer(_AFTER_SCRIPT_S, self.executor.kill)
        clock.daemon = True
        clock.start()
        try:
            folder = self.executor.inside(self.project_dir)
            text = bash_script(self.job.after_script, self._variables(status), folder)
            code = self.executor.run(text, self.trace.write)
            if code != 0:
                self.trace.line(
                    f"WARNING: after_script failed, but job will continue unaffected: exit code {code}"
                )
        finally:
            clock.cancel()

    def _get_sources(self) -> None:
        get_sources(
            self.job, self.project_dir, self.trace.write, self._entry_environment(), umask=self.executor.umask
        )

    def _restore_caches(self) -> None:
        for cache in self.job.caches:
            caches.restore(self.job, cache, self.entry.cache_dir, self.project_dir, self.trace.line)

    def _download(self) -> None:
        for dependency in self.job.dependencies:
            if not dependency.has_archive:
                continue
            self.trace.line(f"Downloading artifacts for {dependency.name} ({dependency.id})...")
            content = self.calls.download(dependency)
            if content is None:
                raise OSError(f"artifacts of {dependency.name} ({dependency.id}) could not be downloaded")
            unpack(content, self.project_dir)

    def _upload(self, upload: Upload) -> None:
        self.trace.line(f"Uploading artifacts ({upload.kind})...")
        paths = matching(self.project_dir, upload.paths, upload.exclude)
        if upload.is_untracked:
            paths = sorted({*paths, *untracked(self.project_dir)})
        if not paths:
            self.trace.line(f"WARNING: {', '.join(upload.paths)}: no matching files")
            return
        if upload.format == "zip":
            name, content = f"{upload.name}.zip", pack(self.project_dir, paths)
        else:
            name = f"{upload.name}.gz"
            content = gzip.compress(b"".join(path.read_bytes() for path in paths if path.is_file()))
        code = self.calls.upload(self.job, upload, name, content)
        self.trace.line(f"Uploading artifacts as {upload.kind!r} to coordinator... {code}")
        if code != 201:
            raise OSError(f"GitLab did not take the {upload.kind} artifact: {code}")

    # -------------------------------------------------------------------------------------------- variables
    def _entry_environment(self) -> dict[str, str]:
        return dict(item.split("=", 1) for item in self.entry.environment)

    def _variables(self, status: str) -> dict[str, str]:
        """The entry's, then the job's (which win), then what only the runner knows."""
        files = {}
        folder = self.project_dir.with_name(f"{self.project_dir.name}.tmp")
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.job.file_variables.items():
            (folder / name).write_text(content, encoding="utf-8")
            files[name] = self.executor.inside(folder / name)
        return {
            **self._entry_environment(),
            **self.job.variables,
            **files,
            "CI_BUILDS_DIR": str(self.entry.builds_dir)
            if self._is_shell
            else self.executor.inside(self._slot_dir),
            "CI_PROJECT_DIR": self.executor.inside(self.project_dir),
            "CI_CONCURRENT_ID": str(self.slot),
            "CI_CONCURRENT_PROJECT_ID": str(self.slot),
            "CI_RUNNER_SHORT_TOKEN": self.entry.short_token,
            "CI_RUNNER_VERSION": VERSION,
            "CI_RUNNER_REVISION": "standin",
            "CI_RUNNER_EXECUTABLE_ARCH": "linux/amd64",
            "CI_SHARED_ENVIRONMENT": "true",
            "CI_JOB_TIMEOUT": str(self.job.timeout_s),
            "CI_JOB_STATUS": status,
        }

    # --------------------------------------------------------------------------------------------- sections
    def _section(self, name: str, work: object) -> None:
        assert callable(work)
        self._mark_section("start", name)
        try:
            work()
        finally:
            self._mark_section("end", name)

    def _mark_section(self, edge: str, name: str) -> None:
        self.trace.write(f"section_{edge}:{int(time.time())}:{name}\r\033[0K".encode())

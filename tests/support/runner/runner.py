"""The runner: asks for jobs while it has slots, runs each in a thread, drains, stops, or loses its host."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Self

import httpx2

from tests.support.runner.api import GitLabCalls, RunnerRefusedError
from tests.support.runner.build import Build, Timing
from tests.support.runner.executors import executor_for
from tests.support.runner.job import Job

if TYPE_CHECKING:
    from tests.support.runner.config import Entry, RunnerConfig

__all__ = ["ProtocolRunner"]

_JOIN_S = 60.0


class ProtocolRunner:
    """All entries of one `config.toml`. A context manager for tests: stops hard at the end."""

    def __init__(
        self, config: RunnerConfig, *, timing: Timing | None = None, is_graceful: bool = True
    ) -> None:
        for entry in config.entries:
            executor_for(entry, entry.builds_dir)  # refuses one it does not know before any job is taken
        self._config = config
        self._timing = timing or Timing()
        self._calls = {
            entry: GitLabCalls(
                url=entry.url,
                token=entry.token,
                system_id=config.system_id,
                executor=entry.executor,
                is_graceful=is_graceful,
            )
            for entry in config.entries
        }
        self._lock = threading.Lock()
        self._builds: dict[int, Build] = {}
        self._threads: dict[int, threading.Thread] = {}
        self._is_draining = False
        self._is_stopped = False
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self.run, name="runner", daemon=True)

    def __enter__(self) -> Self:
        """Ask for jobs in the background."""
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Kill what runs and stop."""
        self.stop()
        with self._lock:
            builds = list(self._builds.values())
        for build in builds:
            build.executor.kill()
        self._thread.join(_JOIN_S)

    @property
    def builds(self) -> list[Build]:
        """What runs now."""
        with self._lock:
            return list(self._builds.values())

    def run(self) -> None:
        """Serve until it has drained or was stopped, and every job has ended."""
        while not self._is_draining:
            self._wake.clear()
            took = [entry for entry in self._config.entries if self._take(entry)]
            if not took:
                self._wake.wait(self._config.check_interval_s)
        while threads := self._running():
            threads[0].join()
        for calls in self._calls.values():
            calls.close()

    def drain(self) -> None:
        """Take no more jobs; those that run end by themselves (SIGQUIT)."""
        self._is_draining = True
        self._wake.set()

    def stop(self) -> None:
        """Take no more jobs and abort those that run (SIGTERM)."""
        self._is_stopped = True
        self.drain()
        for build in self.builds:
            build.stop("interrupted")

    def lose_host(self) -> None:
        """As if the power were cut: every process of every job dies, and GitLab hears nothing more."""
        self._is_draining = True
        for build in self.builds:
            build.lose()
        self._wake.set()

    # --------------------------------------------------------------------------------------------- inside
    def _running(self) -> list[threading.Thread]:
        with self._lock:
            return list(self._threads.values())

    def _take(self, entry: Entry) -> bool:
        """Ask for one job where there is room; whether there was one."""
        with self._lock:
            mine = [build for build in self._builds.values() if build.entry.token == entry.token]
            has_room = len(self._builds) < self._config.concurrent and (
                not entry.limit or len(mine) < entry.limit
            )
            slot = next(number for number in range(len(mine) + 1) if number not in {b.slot for b in mine})
        if not has_room or self._is_draining:
            return False
        try:
            raw = self._calls[entry].request_job()
        except (httpx2.HTTPError, RunnerRefusedError) as error:
            sys.stderr.write(f"{entry.name}: {error}\n")
            return False
        if raw is None:
            return False
        self._start(entry, Job.from_json(raw), slot)
        return True

    def _start(self, entry: Entry, job: Job, slot: int) -> None:
        build = Build(entry=entry, job=job, calls=self._calls[entry], slot=slot, timing=self._timing)
        thread = threading.Thread(target=self._run, args=(build,), name=f"job-{job.id}", daemon=True)
        with self._lock:
            self._builds[job.id] = build
            self._threads[job.id] = thread
        thread.start()
        if self._is_stopped:
            build.stop("interrupted")

    def _run(self, build: Build) -> None:
        try:
            build.run()
        finally:
            with self._lock:
                del self._builds[build.job.id]
                del self._threads[build.job.id]
            self._wake.set()

"""The runner: asks for jobs while it has slots, runs each in a thread, drains, stops, or loses its host."""

from __future__ import annotations

import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

import httpx2

from tests.support.runner.api import GitLabCalls, RunnerRefusedError
from tests.support.runner.build import Build, Timing
from tests.support.runner.executors import KINDS, OTHERS
from tests.support.runner.job import Job

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.runner.config import Entry, RunnerConfig

__all__ = ["ProtocolRunner", "check"]

_JOIN_S = 60.0
_LIFE = 0.75
"""After this part of its life a token is changed for a new one."""


class ProtocolRunner:
    """All entries of one `config.toml`. A context manager for tests: stops hard at the end."""

    def __init__(
        self,
        config: RunnerConfig,
        *,
        timing: Timing | None = None,
        is_graceful: bool = True,
        refresh: Callable[[], RunnerConfig | None] = lambda: None,
        on_new_token: Callable[[Entry, Entry], None] | None = None,
    ) -> None:
        """`refresh` gives a configuration that has changed; `on_new_token` keeps a token that was changed in time.

        Raises:
            ValueError: an entry's executor is not known here.
        """
        check(config)
        self._config = config
        self._refresh = refresh
        self._on_new_token = on_new_token
        self._timing = timing or Timing()
        self._is_graceful = is_graceful
        self._calls: dict[Entry, GitLabCalls] = {}
        self._former: dict[str, set[str]] = {}
        """Of a renewed token those before it: jobs that were taken with them still count."""
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
            self._take_over(self._refresh())
            self._renew_tokens()
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

    @property
    def config(self) -> RunnerConfig:
        """By what it works now."""
        return self._config

    def wake(self) -> None:
        """Look for a changed configuration and for jobs now."""
        self._wake.set()

    # --------------------------------------------------------------------------------------------- inside
    def _take_over(self, config: RunnerConfig | None) -> None:
        """Work by another configuration; jobs that run keep theirs."""
        if config is None:
            return
        try:
            check(config)
        except ValueError as error:
            sys.stderr.write(f"ERROR: Failed to load config: {error}\n")
            return
        self._config = config

    def _calls_of(self, entry: Entry) -> GitLabCalls:
        if entry not in self._calls:
            self._calls[entry] = GitLabCalls(
                url=entry.url,
                token=entry.token,
                system_id=self._config.system_id,
                executor=entry.executor,
                is_graceful=self._is_graceful,
            )
        return self._calls[entry]

    def _renew_tokens(self) -> None:
        """Change tokens that have lived three quarters of their time, as the real runner does."""
        if self._on_new_token is None:
            return
        for entry in self._config.entries:
            if not _is_due(entry):
                continue
            try:
                answer = self._calls_of(entry).reset_token()
            except (httpx2.HTTPError, RunnerRefusedError) as error:
                sys.stderr.write(f"{entry.name}: the token could not be renewed: {error}\n")
                continue
            expires = answer.get("token_expires_at")
            renewed = replace(
                entry,
                token=answer["token"],
                token_obtained_at=datetime.now(UTC).replace(microsecond=0),
                token_expires_at=datetime.fromisoformat(expires) if expires else None,
            )
            self._former[renewed.token] = {entry.token} | self._former.get(entry.token, set())
            self._on_new_token(entry, renewed)
            entries = tuple(renewed if known is entry else known for known in self._config.entries)
            self._config = replace(self._config, entries=entries)

    def _running(self) -> list[threading.Thread]:
        with self._lock:
            return list(self._threads.values())

    def _take(self, entry: Entry) -> bool:
        """Ask for one job where there is room; whether there was one."""
        with self._lock:
            tokens = {entry.token} | self._former.get(entry.token, set())
            mine = [build for build in self._builds.values() if build.entry.token in tokens]
            has_room = len(self._builds) < self._config.concurrent and (
                not entry.limit or len(mine) < entry.limit
            )
            slot = next(number for number in range(len(mine) + 1) if number not in {b.slot for b in mine})
        if not has_room or self._is_draining or entry.executor not in KINDS:
            return False
        try:
            raw = self._calls_of(entry).request_job()
        except (httpx2.HTTPError, RunnerRefusedError) as error:
            sys.stderr.write(f"{entry.name}: {error}\n")
            return False
        if raw is None:
            return False
        self._start(entry, Job.from_json(raw), slot)
        return True

    def _start(self, entry: Entry, job: Job, slot: int) -> None:
        build = Build(entry=entry, job=job, calls=self._calls_of(entry), slot=slot, timing=self._timing)
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


def check(config: RunnerConfig) -> None:
    """Refuse what would fail with the first job.

    Raises:
        ValueError: there is no such executor.
    """
    for entry in config.entries:
        if entry.executor not in {*KINDS, *OTHERS}:
            raise ValueError(f"{entry.name}: there is no executor {entry.executor!r}")
        if entry.executor not in KINDS:
            sys.stderr.write(
                f"WARNING: {entry.name}: this stand-in runs no jobs with executor {entry.executor}\n"
            )


def _is_due(entry: Entry) -> bool:
    obtained, expires = entry.token_obtained_at, entry.token_expires_at
    if obtained is None or expires is None:
        return False
    return datetime.now(UTC) >= obtained + (expires - obtained) * _LIFE

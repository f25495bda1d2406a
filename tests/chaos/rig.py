"""Everything a round is made of: a coordinator on a small disk with a clock of its own, a proxy for each job, the jobs."""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from nx_dte.demo.coordinator import CoordinatorProcess
from nx_dte.demo.errors import DemoFailedError
from nx_dte.demo.pipeline import Pipeline
from nx_dte.demo.recipe import AGENT_SCRIPT
from tests.chaos.clock import SteppedClock
from tests.chaos.disk import SmallDisk
from tests.chaos.faults import EVERYBODY, MAIN, agent
from tests.chaos.plain import commands_of
from tests.support.processes import kill_all_of
from tests.support.stage import START_CI_RUN
from tests.support.tcp_proxy import TcpProxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nx_dte.demo.jobs import Job, JobSpec
    from nx_dte.demo.layout import Layout
    from nx_dte.demo.workspace import Clone, Origin
    from tests.chaos.schedule import Scenario

__all__ = ["COORDINATOR_LOST_S", "JOIN_TIMEOUT_S", "LEASE_S", "MAIN_SILENCE_S", "Coordinator", "Rig"]

LEASE_S = 6
MAIN_SILENCE_S = 10
COORDINATOR_LOST_S = 20
JOIN_TIMEOUT_S = 20

# Short times, so that a round is short. The attempts a task may lose are many: with the default of three a schedule
# could use them up, and `lost` would be the right outcome.
SETTINGS = {
    "NX_DTE_LEASE_S": str(LEASE_S),
    "NX_DTE_HEARTBEAT_S": "1",
    "NX_DTE_MAIN_SILENCE_S": str(MAIN_SILENCE_S),
    "NX_DTE_MAX_LOST_ATTEMPTS": "20",
    "NX_DTE_MAX_ATTEMPTS": "50",
}
VARIABLES = {
    "NX_DTE_EXAMPLE_PACE": "0.5",
    "NX_DTE_JOIN_TIMEOUT": str(JOIN_TIMEOUT_S),
    "NX_DTE_COORDINATOR_LOST_S": str(COORDINATOR_LOST_S),
    "NX_CLOUD_AGENT_TIMEOUT_MS": "60000",
}
START = f"{START_CI_RUN} --stop-agents-after=e2e-ci"
STARTED_WITHIN_S = 90.0
RESTART_WITHIN_S = 90.0
_PIPELINE_IDS = itertools.count(20001)


@dataclass(slots=True, kw_only=True)
class Coordinator:
    """The coordinator under a supervisor: what should run is started again until it does."""

    process: CoordinatorProcess
    starts: int = 0
    failed_starts: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock)
    _is_up: bool = False

    def ensure_started(self) -> None:
        """Start it, if it does not run; again, if it cannot (on a full disk, say)."""
        with self._lock:
            deadline = time.monotonic() + RESTART_WITHIN_S
            while not self._is_up:
                try:
                    self.process.start()
                except DemoFailedError:
                    self.failed_starts += 1
                    self.process.kill()
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.5)
                else:
                    self.starts += 1
                    self._is_up = True

    @contextlib.contextmanager
    def running(self) -> Iterator[int]:
        """Its process id, while nobody starts or ends it."""
        with self._lock:
            self.ensure_started()
            yield self.process.pid

    def kill(self) -> None:
        """As a lost host."""
        with self._lock:
            self.process.kill()
            self._is_up = False

    def stop(self) -> int:
        """In order; returns its exit code. Raises if it takes too long; then it was killed."""
        with self._lock:
            self._is_up = False
            return self.process.stop()


@dataclass(slots=True, kw_only=True)
class Rig:
    """One round's processes. A context manager: none of them outlives it."""

    layout: Layout
    origin: Origin
    folder: Path
    scenario: Scenario
    clock: SteppedClock | None
    disk: SmallDisk | None
    coordinator: Coordinator
    pipeline: Pipeline
    proxies: dict[str, TcpProxy] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    @classmethod
    def prepare(
        cls, *, layout: Layout, origin: Origin, folder: Path, scenario: Scenario, library: Path | None
    ) -> Rig:
        """Make the parts; nothing runs yet. `library` steps the clock, if there is one."""
        folder.mkdir(parents=True)
        clock = SteppedClock(library=library, file=folder / "clock") if library else None
        settings = SETTINGS | (clock.variables if clock else {})
        pipeline = Pipeline(
            layout=layout,
            origin=origin,
            folder=folder / "jobs",
            pipeline_id=next(_PIPELINE_IDS),
            variables=VARIABLES,
        )
        process = CoordinatorProcess(folder=folder, settings=settings)
        return cls(
            layout=layout,
            origin=origin,
            folder=folder,
            scenario=scenario,
            clock=clock,
            disk=None,
            coordinator=Coordinator(process=process),
            pipeline=pipeline,
        )

    def with_disk(self, *, is_possible: bool) -> Self:
        """Give the coordinator's data a small disk, where that may be done."""
        if is_possible:
            self.disk = SmallDisk(folder=self.folder / "coordinator")
        return self

    def __enter__(self) -> Self:
        """Mount, start the coordinator, then all jobs, and wait until all have found each other."""
        try:
            self._start()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *exception: object) -> None:
        """End everything, whatever state it is in."""
        self._stack.close()

    def _start(self) -> None:
        if self.disk is not None:
            self._stack.enter_context(self.disk)
        self._stack.callback(self.coordinator.kill)
        self.coordinator.ensure_started()
        names = [agent(number) for number in range(1, self.scenario.agents + 1)]
        specs = {name: self._prepare(name, list(AGENT_SCRIPT)) for name in names}
        specs[MAIN] = self._prepare(MAIN, [START, *commands_of(self.scenario)])
        self._stack.callback(self._end_jobs)
        for name, spec in specs.items():
            self.jobs[name] = self.pipeline.start(spec)
        self.jobs[MAIN].wait_for_text("[nx-dte] CI run ", STARTED_WITHIN_S)
        for name in names:
            self.jobs[name].wait_for_text(" joined CI run ", STARTED_WITHIN_S)

    def _prepare(self, name: str, script: list[str]) -> JobSpec:
        """A job behind a proxy and with a temp folder of its own."""
        proxy = TcpProxy([("127.0.0.1", self.coordinator.process.port)])
        self.proxies[name] = self._stack.enter_context(proxy)
        own = self.coordinator.process.variables(read_only=self.scenario.is_read_only)
        spec = self.pipeline.prepare(
            name, script, own=own | {"NX_CLOUD_API": proxy.url, "TMPDIR": str(self.temp_of(name))}
        )
        self.temp_of(name).mkdir()
        return spec

    def _end_jobs(self) -> None:
        """No mercy: whoever still runs here was found out already."""
        for job in self.jobs.values():
            kill_all_of(job.spec.clone)
            job.kill()

    def temp_of(self, name: str) -> Path:
        """A job's TMPDIR."""
        return self.pipeline.folder / name / "temp"

    def clone_of(self, name: str) -> Clone:
        """A job's checkout."""
        return self.jobs[name].spec.clone

    def proxies_of(self, target: str) -> list[TcpProxy]:
        """The way of one job, or of all."""
        return list(self.proxies.values()) if target == EVERYBODY else [self.proxies[target]]

    @property
    def main(self) -> Job:
        """The main job."""
        return self.jobs[MAIN]

    @property
    def agents(self) -> dict[str, Job]:
        """The agents' jobs by target name."""
        return {name: job for name, job in self.jobs.items() if name != MAIN}

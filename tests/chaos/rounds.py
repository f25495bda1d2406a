"""One round: start everything, let the faults loose, wait, gather the evidence, judge."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx2

from nx_dte.demo.api import CoordinatorApi
from nx_dte.demo.errors import DemoFailedError
from tests.chaos import autopsy
from tests.chaos.checks import Finding, FindingKind, check, notes
from tests.chaos.faults import MAIN, FaultKind
from tests.chaos.inject import Injector
from tests.chaos.observed import JobEnd, MainEnd, Observed, StoredRun
from tests.chaos.plain import commands_of
from tests.chaos.rig import START, Rig
from tests.chaos.watcher import Watcher
from tests.support.compare import differences, snapshot_tree
from tests.support.nx_results import RUN_FILE, read_results, sections, terminal_outputs
from tests.support.processes import kill_all_of, processes_of

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path

    from nx_dte.demo.jobs import Job
    from nx_dte.demo.layout import Layout
    from tests.chaos.faults import Fault
    from tests.chaos.plain import PlainRun, PlainRuns
    from tests.chaos.schedule import Scenario

__all__ = ["Played", "Round"]

MAIN_ENDS_WITHIN_S = 180.0
AGENTS_LEAVE_WITHIN_S = 90.0
RUN_ENDS_WITHIN_S = 60.0
PROCESSES_GO_WITHIN_S = 20.0
_LOOKUP_S = 30.0
_KILLING = {FaultKind.KILL_AGENT, FaultKind.KILL_MAIN}
_ENDING = {FaultKind.STOP_AGENT, *_KILLING}


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """A round's result."""

    scenario: Scenario
    done: tuple[Fault, ...]
    findings: list[Finding]
    notes: list[str]
    wall_s: float
    folder: Path
    """Kept if there are findings."""


@dataclass(slots=True, kw_only=True)
class Round:
    """Plays one scenario in a folder of its own."""

    layout: Layout
    plain: PlainRuns
    folder: Path
    scenario: Scenario
    library: Path | None
    has_small_disk: bool
    is_kept: bool
    """The folder stays even if all is well."""
    write: Callable[[str], None]

    def play(self) -> Played:
        """Play it; the folder is removed if all is well."""
        started_at = time.monotonic()
        expected = self.plain.run(self.scenario)
        rig = Rig.prepare(
            layout=self.layout,
            origin=self.plain.variant(self.scenario),
            folder=self.folder,
            scenario=self.scenario,
            library=self.library,
        ).with_disk(is_possible=self.has_small_disk)
        injector = Injector(rig=rig, write=lambda text: self.write(f"  {text}"))
        try:
            with rig:
                seen = self._observe(rig, injector, expected)
        except DemoFailedError as error:
            findings, remarks = [Finding(kind=FindingKind.HARNESS, text=str(error))], []
        else:
            findings, remarks = check(seen), notes(seen)
        if not findings and not self.is_kept:
            shutil.rmtree(self.folder, ignore_errors=True)
        return Played(
            scenario=self.scenario,
            done=tuple(injector.done),
            findings=findings,
            notes=remarks,
            wall_s=time.monotonic() - started_at,
            folder=self.folder,
        )

    def _observe(self, rig: Rig, injector: Injector, expected: PlainRun) -> Observed:
        with Watcher(coordinator=rig.coordinator.process, ci_id=str(rig.pipeline.pipeline_id)) as watcher:
            injector.start()
            late = self._wait_for_jobs(rig, injector)
            injector.finish()
            stored = _stored(rig)
        leftovers = _processes_left(rig) + _files_left(rig, late | _killed(injector))
        visible = _visible(rig, [result.hash for result in expected.results.values()])
        code = _stop(rig)
        shutil.copytree(self.folder / "coordinator", self.folder / "data", ignore=_BALLAST)
        staging = self.folder / "coordinator" / "artifacts" / "staging"
        leftovers += [f"staged upload {file.name} of the coordinator" for file in _listed(staging)]
        return Observed(
            scenario=self.scenario,
            plain=expected,
            main=_job_end(MAIN, rig, injector, late),
            agents=[_job_end(name, rig, injector, late) for name in rig.agents],
            left_by_main=_main_end(rig, expected),
            stored=stored,
            told=watcher.told,
            visible_to_read_write=visible,
            coordinator_code=code,
            leftovers=leftovers,
            harness_errors=injector.errors,
        )

    def _wait_for_jobs(self, rig: Rig, injector: Injector) -> set[str]:
        """Wait for main, then for the agents; write down who waits for whom before the late are ended."""
        late = _wait({MAIN: rig.main}, injector.started_at + MAIN_ENDS_WITHIN_S)
        last_fault = max((fault.end_s for fault in self.scenario.faults), default=0.0)
        from_here = max(time.monotonic(), injector.started_at + last_fault)
        late |= _wait(rig.agents, from_here + (0 if late else AGENTS_LEAVE_WITHIN_S))
        if late:
            (self.folder / "autopsy.txt").write_text(autopsy.examine(rig), encoding="utf-8")
        for name in late:
            kill_all_of(rig.clone_of(name))
            rig.jobs[name].kill()
        return late


_BALLAST = shutil.ignore_patterns("ballast", "objects")


def _wait(jobs: dict[str, Job], deadline: float) -> set[str]:
    """Wait until all have ended; returns the names of those that have not by the deadline."""
    while running := {name for name, job in jobs.items() if job.is_running}:
        if time.monotonic() > deadline:
            return running
        time.sleep(0.1)
    return set()


def _job_end(name: str, rig: Rig, injector: Injector, late: Collection[str]) -> JobEnd:
    job = rig.jobs[name]
    was_ended = any(fault.kind in _ENDING and fault.target == name for fault in injector.done)
    code = None if name in late else job.process.returncode
    return JobEnd(name=name, code=code, duration_s=job.duration_s, log=job.log, was_ended=was_ended)


def _killed(injector: Injector) -> set[str]:
    """The jobs that could not clear up."""
    return {fault.target for fault in injector.done if fault.kind in _KILLING}


def _main_end(rig: Rig, expected: PlainRun) -> MainEnd:
    clone = rig.clone_of(MAIN).path
    script = [START, *commands_of(rig.scenario)]
    texts = sections(rig.main.log, script)
    results = clone / RUN_FILE
    return MainEnd(
        results=read_results(results) if results.exists() else {},
        outputs=terminal_outputs(texts[-1]) if len(texts) == len(script) else {},
        file_differences=differences(expected.tree, snapshot_tree(clone)),
    )


def _stored(rig: Rig) -> StoredRun | None:
    """What the coordinator says, once the run has ended (or should have)."""
    process = rig.coordinator.process
    api = CoordinatorApi(url=process.url, token=process.read_write_token)
    deadline = time.monotonic() + RUN_ENDS_WITHIN_S
    ci_run = api.ci_run(str(rig.pipeline.pipeline_id))
    while ci_run is not None and ci_run["state"] in {"open", "stopping"} and time.monotonic() < deadline:
        time.sleep(0.5)
        ci_run = api.ci_run(str(rig.pipeline.pipeline_id))
    if ci_run is None:
        return None
    run_id = ci_run["ci_run_id"]
    tasks = api.get(f"/api/v1/ci-runs/{run_id}/tasks")["tasks"]
    return StoredRun(ci_run=ci_run, tasks=tasks, events=api.events(run_id))


def _visible(rig: Rig, hashes: list[str]) -> dict[str, object]:
    """The cache entries that anybody with the read-write token finds, outside the round's own run."""
    process = rig.coordinator.process
    response = httpx2.post(
        f"{process.url}/api/v1/cache/lookup",
        json={"hashes": hashes, "ci_run_id": None},
        headers={"authorization": process.read_write_token},
        timeout=_LOOKUP_S,
        trust_env=False,
    )
    response.raise_for_status()
    entries: dict[str, object] = response.json()["entries"]
    return entries


def _processes_left(rig: Rig) -> list[str]:
    deadline = time.monotonic() + PROCESSES_GO_WITHIN_S
    while True:
        left = [
            f"process {pid} of {name}: {command[:200]}"
            for name, job in rig.jobs.items()
            for pid, command in processes_of(job.spec.clone).items()
        ]
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.2)


def _files_left(rig: Rig, excused: Collection[str]) -> list[str]:
    """Nobody clears up after SIGKILL; everybody else does."""
    return [
        f"{file.name} in the temp folder of {name}"
        for name in rig.jobs
        if name not in excused
        for file in _listed(rig.temp_of(name))
        if file.name.startswith("nx-dte-")
    ]


def _listed(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _stop(rig: Rig) -> int | None:
    try:
        return rig.coordinator.stop()
    except DemoFailedError:
        return None

"""Who waited for whom: written down while those who hang still do."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2

from nx_dte.demo.api import CoordinatorApi
from nx_dte.demo.errors import DemoFailedError
from tests.support.processes import processes_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.rig import Rig

__all__ = ["examine"]

_LAST_LINES = 60
_LAST_EVENTS = 60


def examine(rig: Rig) -> str:
    """The state of every unfinished task, log and process of a round."""
    return "\n".join([*_coordinator(rig), *_logs(rig), *_processes(rig)])


def _logs(rig: Rig) -> Iterator[str]:
    for name, job in rig.jobs.items():
        yield f"== {name}: exit code {job.process.poll()}, {job.duration_s:.0f} s; the end of its log =="
        yield from (line.text for line in job.lines[-_LAST_LINES:])


def _processes(rig: Rig) -> Iterator[str]:
    for name, job in rig.jobs.items():
        yield f"== processes of {name} =="
        for pid, command in processes_of(job.spec.clone).items():
            yield from _process(pid, command)


def _process(pid: int, command: str) -> Iterator[str]:
    yield f"pid {pid}: {command[:200]}"
    with contextlib.suppress(OSError):
        fields = (Path("/proc") / str(pid) / "stat").read_text("utf-8", "replace").rpartition(")")[2].split()
        yield f"  state {fields[0]}, parent {fields[1]}, group {fields[2]}, session {fields[3]}"
    with contextlib.suppress(OSError):
        frames = (Path("/proc") / str(pid) / "stack").read_text("utf-8", "replace").split("\n")
        yield f"  waits in {' < '.join(frame.partition('] ')[2] for frame in frames[:5])}"


def _coordinator(rig: Rig) -> Iterator[str]:
    process = rig.coordinator.process
    yield f"== coordinator: {rig.coordinator.starts} starts, {rig.coordinator.failed_starts} failed ones =="
    yield from _process(process.pid, "coordinator")
    yield from process.log.split("\n")[-_LAST_LINES:]
    api = CoordinatorApi(url=process.url, token=process.read_write_token)
    try:
        yield from _run(api, str(rig.pipeline.pipeline_id))
    except (DemoFailedError, httpx2.HTTPError) as error:
        yield f"the coordinator cannot be asked: {error}"


def _run(api: CoordinatorApi, ci_id: str) -> Iterator[str]:
    ci_run = api.ci_run(ci_id)
    yield f"CI run: {ci_run}"
    if ci_run is None:
        return
    for task in api.get(f"/api/v1/ci-runs/{ci_run['ci_run_id']}/tasks")["tasks"]:
        if task["state"] != "finished":
            story = api.get(f"/api/v1/invocations/{task['invocation_id']}/tasks/{task['task_id']}/story")
            yield f"{task['task_id']} is {task['state']}, attempt {task['attempt']}: {story['why']}"
    yield "-- the last events --"
    for event in api.events(ci_run["ci_run_id"])[-_LAST_EVENTS:]:
        yield f"{event['sequence']} {event['at']} {event['kind']} {event['message']}"

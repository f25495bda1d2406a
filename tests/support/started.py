"""A pipeline whose jobs run while a test does something to them."""

from __future__ import annotations

import json
import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.support.processes import wait_until
from tests.support.stage import QUICK

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nx_dte.demo.coordinator import CoordinatorProcess
    from nx_dte.demo.jobs import Job
    from nx_dte.demo.pipeline import Pipeline
    from tests.support.stage import Stage

__all__ = ["SHORT", "Started", "holder", "slow", "start", "starts_of", "view_of", "wait_until_leased"]

# Leases and silences at a fraction of their time, where a test waits for one to run out.
SHORT = {"NX_DTE_LEASE_S": "10", "NX_DTE_HEARTBEAT_S": "1"}

_START = re.compile(r"\[nx-dte\] start: (\S+)")


def slow(target: str, seconds: float) -> str:
    return json.dumps({target: {"seconds": seconds}}) + "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Started:
    pipeline: Pipeline
    coordinator: CoordinatorProcess
    main: Job
    agents: list[Job]


def start(
    stage: Stage,
    script: list[str],
    *,
    agents: int,
    slow_test_s: float = 0,
    slow_projects: Sequence[str] = ("libs/ui",),
    changes: Mapping[str, str | None] | None = None,
    variables: Mapping[str, str] | None = None,
    coordinator: CoordinatorProcess | None = None,
    settings: Mapping[str, str] | None = None,
) -> Started:
    """A pipeline whose jobs run; tests of the slow projects (`ui:test`) take as long as they are told."""
    changed = dict(changes or {})
    if slow_test_s:
        changed |= {f"{project}/faults.json": slow("test", slow_test_s) for project in slow_projects}
    coordinator = coordinator or stage.coordinator(settings or {})
    pipeline = stage.pipeline(
        stage.origin(changed), {**QUICK, **coordinator.variables(), **(variables or {})}
    )
    specs = pipeline.prepare_agents(agents)
    main_spec = pipeline.prepare("nx-dte", script)
    agent_jobs = [pipeline.start(spec) for spec in specs]
    return Started(
        pipeline=pipeline, coordinator=coordinator, main=pipeline.start(main_spec), agents=agent_jobs
    )


def view_of(stage: Stage, started: Started, task_id: str) -> dict[str, Any] | None:
    """The coordinator's view of a task, once there is one."""
    api = stage.api(started.coordinator)
    ci_run = api.ci_run(str(started.pipeline.pipeline_id))
    if ci_run is None:
        return None
    tasks = api.get(f"/api/v1/ci-runs/{ci_run['ci_run_id']}/tasks")["tasks"]
    return next((task for task in tasks if task["task_id"] == task_id), None)


def wait_until_leased(stage: Stage, started: Started, task_id: str, timeout_s: float = 60) -> str:
    """Wait until an agent runs a task; its name."""
    found: list[str] = []

    def is_leased() -> bool:
        view = view_of(stage, started, task_id)
        if view is not None and view["state"] == "leased":
            found.append(view["agent_name"])
        return bool(found)

    wait_until(is_leased, timeout_s, f"an agent runs {task_id}")
    return found[0]


def holder(stage: Stage, started: Started, task_id: str, timeout_s: float = 60) -> Job:
    """The job, of those in `started.agents`, that runs a task, waiting until one does."""
    name = wait_until_leased(stage, started, task_id, timeout_s)
    return next(job for job in started.agents if job.spec.name in name)


def starts_of(started: Started) -> Counter[str]:
    """How often agents began each task."""
    return Counter(
        found[1] for agent in started.agents for line in agent.lines if (found := _START.search(line.text))
    )

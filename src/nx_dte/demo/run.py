"""Runs the recipe: plain nx first, then a coordinator, one main job and its agents, each in a clone of its own."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nx_dte.demo import recipe
from nx_dte.demo.api import CoordinatorApi
from nx_dte.demo.coordinator import CoordinatorProcess
from nx_dte.demo.errors import DemoFailedError
from nx_dte.demo.layout import Layout, find_layout
from nx_dte.demo.pipeline import Pipeline
from nx_dte.demo.report import DemoOutcome, render
from nx_dte.demo.workspace import Origin, install_dependencies, make_origin

if TYPE_CHECKING:
    from collections.abc import Callable

    from nx_dte.demo.figures import TaskRun
    from nx_dte.demo.jobs import Job

__all__ = ["run"]

JOB_TIMEOUT_S = 180.0
AGENTS_LEAVE_TIMEOUT_S = 60.0
PIPELINE_ID = 4711
_AFFECTED_ECHO = "$ yarn nx affected"


def run(*, agents: int = 3, keep: bool = False, write: Callable[[str], None] = print) -> int:
    """The whole demo; returns the exit code of the first job that failed, or 0."""
    layout = find_layout()
    write("Setting up: dependencies of the example workspace")
    node_modules = install_dependencies(layout)
    folder = Path(tempfile.mkdtemp(prefix="nx-dte-demo-"))
    try:
        origin = make_origin(layout, folder, node_modules)
        outcome = _Demo(layout=layout, folder=folder, origin=origin, agents=agents, write=write).run()
    finally:
        if keep:
            write(f"Kept: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    write(f"\n{render(outcome)}")
    return outcome.main_code or outcome.plain_code


@dataclass(frozen=True, slots=True, kw_only=True)
class _Demo:
    """One demonstration in its folder."""

    layout: Layout
    folder: Path
    origin: Origin
    agents: int
    write: Callable[[str], None]

    def run(self) -> DemoOutcome:
        """Plain first, so that the two never share the machine."""
        plain = self._plain()
        with CoordinatorProcess(folder=self.folder) as coordinator:
            self.write(
                f"\n== Distributed: 1 main job, {self.agents} agents, coordinator at {coordinator.url} =="
            )
            main = self._distributed(coordinator)
            runs = _task_runs(coordinator)
        return DemoOutcome(
            runs=runs,
            agents=self.agents,
            parallel=recipe.PARALLEL,
            main_code=main.process.returncode,
            plain_code=plain.process.returncode,
            main_affected_s=_affected_s(main),
            plain_affected_s=_affected_s(plain),
            main_job_s=main.duration_s,
            plain_job_s=plain.duration_s,
        )

    def _plain(self) -> Job:
        self.write(f"\n== Plain nx --parallel={recipe.PARALLEL} in a clone of its own, for comparison ==")
        with self._pipeline(PIPELINE_ID - 1, recipe.PLAIN_VARIABLES) as pipeline:
            job = pipeline.start(pipeline.prepare("plain", recipe.PLAIN_SCRIPT))
            code = job.wait(JOB_TIMEOUT_S)
        self.write(f"plain nx ended with {code} after {job.duration_s:.1f} s")
        if code != 0:
            self.write(job.log)
        return job

    def _distributed(self, coordinator: CoordinatorProcess) -> Job:
        """Start agents and main together as GitLab would; returns main once all have ended."""
        with self._pipeline(PIPELINE_ID, coordinator.variables()) as pipeline:
            agent_specs = pipeline.prepare_agents(self.agents)
            main_spec = pipeline.prepare("nx-dte", recipe.MAIN_SCRIPT)
            agents = [pipeline.start(spec) for spec in agent_specs]
            main = pipeline.start(main_spec, on_line=lambda line: self.write(f"main | {line.text}"))
            main.wait(JOB_TIMEOUT_S)
            for agent in agents:
                code = agent.wait(AGENTS_LEAVE_TIMEOUT_S)
                self.write(f"{agent.spec.name} ended with {code} after {agent.duration_s:.1f} s")
                if code != 0:
                    self.write(agent.log)
        return main

    def _pipeline(self, pipeline_id: int, variables: dict[str, str]) -> Pipeline:
        folder = self.folder / str(pipeline_id)
        return Pipeline(
            layout=self.layout,
            origin=self.origin,
            folder=folder,
            pipeline_id=pipeline_id,
            variables=variables,
        )


def _task_runs(coordinator: CoordinatorProcess) -> list[TaskRun]:
    """What the coordinator knows about the tasks of this demo's CI run."""
    api = CoordinatorApi(url=coordinator.url, token=coordinator.read_write_token)
    ci_run = api.ci_run(str(PIPELINE_ID))
    if ci_run is None:
        raise DemoFailedError(
            f"the coordinator knows no CI run {PIPELINE_ID}; the main job's log above says why"
        )
    return api.task_runs(ci_run["ci_run_id"])


def _affected_s(job: Job) -> float:
    """How long the last command of a job took: from its echo to the job's end."""
    started = [line.at for line in job.lines if line.text.startswith(_AFFECTED_ECHO)]
    if not started or job.ended_at is None:
        return 0.0
    return job.ended_at - started[-1]

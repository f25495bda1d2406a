"""The stage an acceptance test plays on: a folder, an origin, coordinators and pipelines, all cleared away after."""

from __future__ import annotations

import itertools
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from nx_dte.demo import recipe
from nx_dte.demo.api import CoordinatorApi
from nx_dte.demo.coordinator import CoordinatorProcess
from nx_dte.demo.pipeline import Pipeline
from nx_dte.demo.workspace import Origin, make_origin
from tests.support.gitlab_stage import GitLabStage
from tests.support.nx_results import sections, terminal_outputs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nx_dte.demo.jobs import Job
    from nx_dte.demo.layout import Layout

__all__ = [
    "AGENT_END_S",
    "JOB_END_S",
    "QUICK",
    "START_CI_RUN",
    "Stage",
    "affected",
    "outputs_of_steps",
    "steps",
]

# The example's tasks at a tenth of their time, and the mustering task content with the agent it runs on.
QUICK = {"NX_DTE_EXAMPLE_PACE": "0.1", "NX_DTE_EXAMPLE_AGENTS": "1"}
JOB_END_S = 150.0
AGENT_END_S = 30.0

START_CI_RUN = 'yarn nx-cloud start-ci-run --distribute-on="manual"'
_PIPELINE_IDS = itertools.count(5001)


def affected(targets: str, *flags: str) -> str:
    """An `nx affected` line as the recipe writes it."""
    return " ".join(
        ["yarn nx affected --base=$CI_COMMIT_BEFORE_SHA --head=$CI_COMMIT_SHA", "-t", targets, *flags]
    )


@dataclass(slots=True, kw_only=True)
class Stage:
    """Makes what a test needs and remembers it."""

    layout: Layout
    node_modules: Path
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="nx-dte-")))
    coordinators: list[CoordinatorProcess] = field(default_factory=list)
    pipelines: list[Pipeline] = field(default_factory=list)
    gitlabs: list[GitLabStage] = field(default_factory=list)
    _origin: Origin | None = None
    _shown: set[tuple[str, str]] = field(default_factory=set)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def origin(self, changes: Mapping[str, str | None] | None = None) -> Origin:
        """The example workspace with everything affected, or with one more commit that makes `changes`."""
        if self._origin is None:
            self._origin = make_origin(self.layout, self.folder, self.node_modules)
        return self._origin.commit(changes) if changes else self._origin

    def coordinator(self, settings: Mapping[str, str] | None = None) -> CoordinatorProcess:
        """A running coordinator with data of its own."""
        folder = self.folder / f"coordinator-{next(self._numbers)}"
        coordinator = CoordinatorProcess(folder=folder, settings=settings or {})
        self.coordinators.append(coordinator)
        coordinator.start()
        return coordinator

    def pipeline(
        self, origin: Origin, variables: Mapping[str, str], *, pipeline_id: int | None = None
    ) -> Pipeline:
        """A pipeline with an id nobody had, unless it is given one."""
        pipeline = Pipeline(
            layout=self.layout,
            origin=origin,
            folder=self.folder / f"pipeline-{next(self._numbers)}",
            pipeline_id=pipeline_id or next(_PIPELINE_IDS),
            variables=variables,
        )
        self.pipelines.append(pipeline)
        return pipeline

    def plain(self, origin: Origin, script: Sequence[str], variables: Mapping[str, str] = QUICK) -> Job:
        """The same lines by plain nx, run to their end."""
        pipeline = self.pipeline(origin, {**variables, **recipe.PLAIN_VARIABLES})
        job = pipeline.start(pipeline.prepare("plain", script))
        job.wait(JOB_END_S)
        return job

    def distributed(
        self,
        origin: Origin,
        coordinator: CoordinatorProcess,
        script: Sequence[str],
        *,
        agents: int = 2,
        variables: Mapping[str, str] = QUICK,
    ) -> tuple[Job, list[Job]]:
        """Main and its agents, started together and run to their end."""
        pipeline = self.pipeline(origin, {**variables, **coordinator.variables()})
        agent_specs = pipeline.prepare_agents(agents)
        main_spec = pipeline.prepare("nx-dte", script)
        agent_jobs = [pipeline.start(spec) for spec in agent_specs]
        main = pipeline.start(main_spec)
        main.wait(JOB_END_S)
        for job in agent_jobs:
            job.wait(AGENT_END_S + 30)
        return main, agent_jobs

    def gitlab(self, origin: Origin) -> GitLabStage:
        """A stand-in GitLab whose one project is this workspace."""
        folder = self.folder / f"gitlab-{next(self._numbers)}"
        folder.mkdir()
        gitlab = GitLabStage(layout=self.layout, folder=folder, origin=origin)
        self.gitlabs.append(gitlab)
        return gitlab

    @staticmethod
    def api(coordinator: CoordinatorProcess) -> CoordinatorApi:
        """A reader of a coordinator."""
        return CoordinatorApi(url=coordinator.url, token=coordinator.read_write_token)

    def unseen_logs(self) -> list[tuple[str, str]]:
        """The logs nobody has been shown yet: a module's tests that fail for one reason show them once."""
        fresh = [section for section in self.logs() if section not in self._shown]
        self._shown.update(fresh)
        return fresh

    def logs(self) -> Iterator[tuple[str, str]]:
        """Everything anybody printed, with its name."""
        for pipeline in self.pipelines:
            for job in pipeline.jobs:
                yield f"pipeline {pipeline.pipeline_id}, {job.spec.name}, exit {job.process.poll()}", job.log
        for gitlab in self.gitlabs:
            yield from gitlab.logs()
        for coordinator in self.coordinators:
            yield f"coordinator at {coordinator.url}", coordinator.log[-20_000:]

    def clear(self) -> None:
        """End every process and remove every file."""
        for pipeline in self.pipelines:
            pipeline.close()
        for gitlab in self.gitlabs:
            gitlab.close()
        for coordinator in self.coordinators:
            coordinator.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def steps(commands: Sequence[str]) -> list[str]:
    """A script that goes on after a failing command and keeps, after each, its exit code, its results, its files."""
    script = []
    for number, command in enumerate(commands):
        kept = f'"$HOME/after-{number}"'
        script += [
            f"mkdir {kept}; rm -f .nx/cache/run.json",
            f'{command} || echo $? > "$HOME/after-{number}/code"',
            f"cp .nx/cache/run.json {kept}/ || true",
            f"tar -cf {kept}/tree.tar --exclude=./node_modules --exclude=./.git --exclude=./.nx .",
        ]
    return script


def outputs_of_steps(job: Job, commands: Sequence[str]) -> list[dict[str, str]]:
    """What each task printed, command by command, of a job that ran `steps`."""
    script = list(job.spec.script)
    texts = sections(job.log, script)
    first = script.index(steps(commands)[0])
    return [terminal_outputs(texts[first + 4 * number + 1]) for number in range(len(commands))]

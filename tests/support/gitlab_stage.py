"""A stand-in GitLab on a stage: the example workspace is a project of it, and hosts run its jobs with the real tools.

Nothing is faked on the jobs' side: yarn, Nx and `nx-dte` are those that users have. The hosts' runners are the small
ones of `tests.support.runner`.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from click.testing import CliRunner

from nx_dte.cli import cli
from nx_dte.demo.workspace import _copy_linked
from tests.support.gitlab.ci_file.job_spec import Variable
from tests.support.gitlab.server import StandIn
from tests.support.gitlab.work_tree import WorkTree
from tests.support.processes import processes_at, wait_until
from tests.support.runner.build import Timing
from tests.support.runner.config import Entry, RunnerConfig
from tests.support.runner.runner import ProtocolRunner

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nx_dte.demo.layout import Layout
    from nx_dte.demo.workspace import Origin
    from tests.support.gitlab_remote import RemoteGitLab

__all__ = [
    "AGENTS",
    "ENDED",
    "END_S",
    "GUARD",
    "MAIN",
    "GitLabStage",
    "Host",
    "StandInPipeline",
    "job_tools",
    "rendered",
]

GUARD, MAIN, AGENTS = "nx-rerun-guard", "nx-dte", ("nx-dte-agent 1/2", "nx-dte-agent 2/2")

ENDED = frozenset({"success", "failed", "canceled", "skipped"})
PROJECT = "shop/corner-shop"
# Hosts keep node_modules from job to job (GIT_CLEAN_FLAGS), as many with a shell executor do, and have them at first.
_INSTALL = "test -d node_modules/nx || yarn install --frozen-lockfile"
END_S = 150.0


def job_tools(layout: Layout, home: Path) -> dict[str, str]:
    """What a host gives its jobs: Node 18 and yarn first, `nx-dte` last; packages come from yarn's cache, offline."""
    home.mkdir(parents=True, exist_ok=True)
    rc_lines = ["--install.offline true", f'--install.cache-folder "{layout.cache / "yarn"}"']
    (home / ".yarnrc").write_text("\n".join([*rc_lines, ""]), encoding="utf-8")
    programs = f"{layout.toolchain_path}:{os.environ.get('PATH', os.defpath)}:{Path(sys.executable).parent}"
    return {"PATH": programs, "HOME": str(home), "LANG": "C.UTF-8"}


def rendered(workspace: Path, *options: str) -> str:
    """What `nx-dte pipeline render` makes of a workspace."""
    done = CliRunner().invoke(cli, ["pipeline", "render", "--directory", str(workspace), *options])
    assert done.exit_code == 0, done.output
    return done.stdout


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A machine with a runner. `runner.lose_host()` cuts its power."""

    runner: ProtocolRunner
    home: Path

    @property
    def processes(self) -> dict[int, str]:
        """What jobs have started here and still runs."""
        return processes_at(self.home)


@dataclass(frozen=True, slots=True, kw_only=True)
class StandInPipeline:
    """One pipeline, as a person sees it: looks, waits, presses Retry and Cancel."""

    gitlab: StandIn | RemoteGitLab
    project: str
    pipeline_id: int

    @property
    def _api(self) -> str:
        return f"/projects/{self.project.replace('/', '%2F')}"

    def rows(self, name: str | None = None) -> list[dict[str, Any]]:
        """Every job row, retried ones too, oldest first; of one name when it is given."""
        path = f"{self._api}/pipelines/{self.pipeline_id}/jobs?per_page=100&include_retried=true"
        found: list[dict[str, Any]] = self.gitlab.call("GET", path)
        return sorted((row for row in found if name in {None, row["name"]}), key=lambda row: int(row["id"]))

    def newest(self, name: str) -> dict[str, Any]:
        """The row that counts."""
        return self.rows(name)[-1]

    def states(self) -> dict[str, str]:
        """Name → state of the rows that count."""
        return {row["name"]: row["status"] for row in self.rows()}

    def exit_codes(self) -> dict[str, int | None]:
        """Of main and agents, the rows that count; GitLab's API has none, but the runner has told it."""
        assert isinstance(self.gitlab, StandIn), "of another host's stand-in exit codes are not known"
        with self.gitlab.instance.lock:
            jobs = self.gitlab.instance.pipelines[self.pipeline_id].latest
            return {
                job.name: 0 if job.status == "success" else job.exit_code for job in jobs if job.name != GUARD
            }

    @property
    def status(self) -> str:
        """The pipeline's state."""
        found: str = self.gitlab.call("GET", f"{self._api}/pipelines/{self.pipeline_id}")["status"]
        return found

    def log(self, row: dict[str, Any] | str) -> str:
        """A job's log so far; of the newest row where a name is given."""
        job = self.newest(row) if isinstance(row, str) else row
        return self.gitlab.api.get(f"{self._api}/jobs/{job['id']}/trace").text

    # ---------------------------------------------------------------------------------------- waiting
    def wait(self, *names: str, timeout_s: float = END_S) -> dict[str, str]:
        """Wait until these jobs, or all, have ended; their states."""

        def is_over() -> bool:
            states = self.states()
            return {states[name] for name in names or states} <= ENDED

        wait_until(is_over, timeout_s, f"{', '.join(names) or 'all jobs'} of pipeline {self.pipeline_id} end")
        return self.states()

    def wait_for_status(self, name: str, status: str, timeout_s: float = END_S) -> None:
        """Wait until the newest row of a name is in a state."""
        wait_until(lambda: self.newest(name)["status"] == status, timeout_s, f"{name} is {status}")

    def wait_for_text(self, name: str, text: str, timeout_s: float = END_S) -> None:
        """Wait until the newest row of a name has printed something."""
        wait_until(lambda: text in self.log(name), timeout_s, f"{name} prints {text!r}")

    # --------------------------------------------------------------------------------------- a person
    def retry(self) -> None:
        """Press the pipeline's Retry."""
        self.gitlab.call("POST", f"{self._api}/pipelines/{self.pipeline_id}/retry")

    def retry_job(self, name: str) -> dict[str, Any]:
        """Press a job's Retry; the new row."""
        row: dict[str, Any] = self.gitlab.call("POST", f"{self._api}/jobs/{self.newest(name)['id']}/retry")
        return row

    def cancel_job(self, name: str) -> None:
        """Press a job's Cancel."""
        self.gitlab.call("POST", f"{self._api}/jobs/{self.newest(name)['id']}/cancel")

    def cancel(self) -> None:
        """Press the pipeline's Cancel."""
        self.gitlab.call("POST", f"{self._api}/pipelines/{self.pipeline_id}/cancel")

    def erase(self, name: str) -> None:
        """Erase what a job has uploaded, as GitLab does by itself when it has expired."""
        self.gitlab.call("DELETE", f"{self._api}/jobs/{self.newest(name)['id']}/artifacts")

    def give_up(self, name: str) -> None:
        """What GitLab does with a silent job after an hour."""
        self.gitlab.call("POST", f"/-/stand-in/jobs/{self.newest(name)['id']}/lose")


@dataclass(slots=True, kw_only=True)
class GitLabStage:
    """The stand-in, its one project, and what was started for it. Closed by the stage it belongs to."""

    layout: Layout
    folder: Path
    origin: Origin
    gitlab: StandIn = field(init=False)
    tree: WorkTree = field(init=False)
    pipelines: list[StandInPipeline] = field(default_factory=list)
    hosts: list[Host] = field(default_factory=list)
    _runners: dict[str, tuple[int, str]] = field(default_factory=dict)
    """By tag: id and token. Hosts with the same tag share them, as a fleet does."""
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _stack: ExitStack = field(default_factory=ExitStack)

    def __post_init__(self) -> None:
        """Serve, and push the workspace."""
        self.gitlab = self._stack.enter_context(StandIn(self.folder / "repositories"))
        self.tree = self.add_project(PROJECT)
        self.set_variables({"GIT_CLEAN_FLAGS": "-ffdx -e node_modules"})

    def close(self) -> None:
        """End every job and stop serving."""
        self._stack.close()

    # ------------------------------------------------------------------------------------- the project
    def add_project(self, path: str) -> WorkTree:
        """Another project with the workspace in it and the variables of the first; a clone of it."""
        self.gitlab.call("POST", "/projects", path=path)
        tree = WorkTree.clone(self.gitlab, path, self.folder / path.replace("/", "-"))
        tree.git("fetch", "--quiet", str(self.origin.path), f"commit-{self.origin.head[:12]}")
        tree.git("checkout", "--quiet", "-B", "main", self.origin.head)
        tree.push()
        with self.gitlab.instance.lock:
            first = next(iter(self.gitlab.instance.projects.values()))
            self.gitlab.instance.project(path).variables.update(first.variables)
        return tree

    def set_variables(self, values: Mapping[str, str | None]) -> None:
        """CI/CD variables in the settings of all projects; None removes one. Tokens are masked."""
        with self.gitlab.instance.lock:
            for project in self.gitlab.instance.projects.values():
                for name, value in values.items():
                    if value is None:
                        project.variables.pop(name, None)
                    else:
                        is_masked = "TOKEN" in name
                        project.variables[name] = Variable(value=value, is_masked=is_masked, is_raw=True)

    def push(self, files: Mapping[str, str], *, branch: str) -> str:
        """Make a branch from main with one more commit, and push it; the commit."""
        self.tree.git("checkout", "--quiet", "-B", branch, self.origin.head)
        self.tree.commit(files, is_pushed=False)
        self.tree.push("--force")
        return self.tree.head

    def tag(self, name: str) -> None:
        """Tag main's commit and push that."""
        self.tree.git("tag", name, self.origin.head)
        self.tree.git("push", "--quiet", "origin", name)

    def merge_request(self, branch: str) -> int:
        """Open a merge request of a branch into main; its number within the project."""
        wanted = {"source_branch": branch, "target_branch": "main", "title": branch}
        path = f"/projects/{PROJECT.replace('/', '%2F')}/merge_requests"
        iid: int = self.gitlab.call("POST", path, **wanted)["iid"]
        return iid

    def render(self, command: str, *options: str, agents: int = 2) -> str:
        """A pipeline for the workspace: main runs this command only, `agents` agents, and a guard job."""
        usual = ["--guard", "job", "--no-record", "--install", _INSTALL, "--artifact", ""]
        return rendered(self.tree.folder, *usual, "--agents", str(agents), "--command", command, *options)

    def start(self, ci_file: str, *, project: str = PROJECT, **values: Any) -> StandInPipeline:
        """A pipeline from this text; of a push to main that brings the workspace's last commit, unless told otherwise."""
        wanted = {"source": "push", "before_sha": self.origin.base, **values}
        pipeline_id = self.gitlab.start_pipeline(project, ci_file=ci_file, **wanted)
        pipeline = StandInPipeline(gitlab=self.gitlab, project=project, pipeline_id=pipeline_id)
        self.pipelines.append(pipeline)
        return pipeline

    # --------------------------------------------------------------------------------------- its hosts
    def host(self, tag: str, *, slots: int = 1, projects: Sequence[str] = (PROJECT,)) -> Host:
        """A host whose runner takes jobs with this tag, and has node_modules for these projects' checkouts."""
        folder = self.folder / f"host-{next(self._numbers)}"
        entry = Entry(
            name=folder.name,
            url=self.gitlab.url,
            token=self._token(tag),
            environment=tuple("=".join(item) for item in job_tools(self.layout, folder / "home").items()),
            builds_dir=folder / "builds",
            cache_dir=folder / "cache",
        )
        for slot, project in itertools.product(range(slots), projects):
            checkout = entry.builds_dir / entry.short_token / str(slot) / project
            _copy_linked(self.origin.node_modules, checkout / "node_modules")
        config = RunnerConfig(
            concurrent=slots, check_interval_s=0.3, entries=(entry,), system_id=f"s_{folder.name}"
        )
        runner = self._stack.enter_context(ProtocolRunner(config, timing=Timing(trace_interval_s=0.3)))
        host = Host(runner=runner, home=folder / "home")
        self.hosts.append(host)
        return host

    def _token(self, tag: str) -> str:
        if tag not in self._runners:
            values = {"runner_type": "instance_type", "tag_list": [tag]}
            made = self.gitlab.call("POST", "/user/runners", **values)
            self._runners[tag] = made["id"], made["token"]
        return self._runners[tag][1]

    def pause(self, *tags: str) -> None:
        """Runners with these tags get no more jobs, those of other tags do."""
        for tag, (runner_id, _) in self._runners.items():
            self.gitlab.call("PUT", f"/runners/{runner_id}", paused=tag in tags)

    def logs(self) -> Iterator[tuple[str, str]]:
        """What every job of every pipeline printed."""
        for pipeline in self.pipelines:
            for row in pipeline.rows():
                title = f"pipeline {pipeline.pipeline_id}, {row['name']} #{row['id']}, {row['status']}"
                yield title, pipeline.log(row)

    def wait_until_hosts_are_idle(self, timeout_s: float) -> None:
        """Wait until no process of any job is left on any host."""
        deadline = time.monotonic() + timeout_s
        left: dict[int, str] = {}
        for host in self.hosts:
            while left := host.processes:
                if time.monotonic() > deadline:
                    raise AssertionError(f"processes of jobs are left after {timeout_s:g} s: {left}")
                time.sleep(0.1)

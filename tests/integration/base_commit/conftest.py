"""Real repositories: a remote that is pushed to, and the clones that a runner makes of it."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

import pytest

from nx_dte.base_commit import Base, Git, resolve
from nx_dte.gitlab import CiEnvironment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

AUTHOR = {
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.org",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
}
ENVIRON = {"PATH": os.environ["PATH"], **AUTHOR}


def git(folder: Path, *arguments: str) -> str:
    """One git command that must succeed."""
    return subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env=ENVIRON,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    ).stdout.strip()


_numbers = count(1)


@dataclass(slots=True, kw_only=True)
class Remote:
    """A repository as GitLab holds it. Its working tree stands for everybody who pushes."""

    folder: Path

    def commit(self, branch: str, number: int = 1) -> str:
        """Add commits to a branch, which begins at the current one if it is new; the last one's id."""
        known = git(self.folder, "branch", "--list", branch)
        git(self.folder, "checkout", "-q", *([branch] if known else ["-b", branch]))
        tip = self.tip()
        tree = git(self.folder, "rev-parse", "HEAD^{tree}")
        for _ in range(number):  # a message of its own for each, or two commits could be one
            tip = git(self.folder, "commit-tree", tree, "-p", tip, "-m", f"{branch} {next(_numbers)}")
        git(self.folder, "reset", "-q", "--hard", tip)
        return tip

    def tip(self) -> str:
        return git(self.folder, "rev-parse", "HEAD")

    def parent(self, commit: str, generation: int = 1) -> str:
        return git(self.folder, "rev-parse", f"{commit}~{generation}")


@dataclass(slots=True, kw_only=True)
class Checkout:
    """What a job finds, and what is said while its base is looked for."""

    folder: Path
    said: list[str] = field(default_factory=list)

    def head(self) -> str:
        return git(self.folder, "rev-parse", "HEAD")

    def open(self, *, fetch_timeout_s: float = 30.0, **variables: str) -> Git:
        environment = CiEnvironment.from_environ(variables)
        return Git.open(
            self.folder,
            {**ENVIRON, **variables},
            fetch_timeout_s=fetch_timeout_s,
            remote_url=environment.repository_url,
        )

    def resolve(
        self,
        job: Mapping[str, str] | None = None,
        *,
        base: str | None = None,
        last_green: Callable[[str], str | None] = lambda _branch: None,
        fetch_timeout_s: float = 30.0,
        **variables: str,
    ) -> Base:
        variables = {"CI_COMMIT_SHA": self.head(), "CI_DEFAULT_BRANCH": "main", **(job or {}), **variables}
        return resolve(
            self.open(fetch_timeout_s=fetch_timeout_s, **variables),
            CiEnvironment.from_environ(variables),
            given_base=base,
            last_green=last_green,
            say=self.said.append,
        )


@pytest.fixture
def remote(first_remote: Path, tmp_path: Path) -> Remote:
    """A repository with 30 commits on main."""
    folder = tmp_path / "remote"
    shutil.copytree(first_remote, folder)
    return Remote(folder=folder)


@pytest.fixture(scope="session")
def first_remote(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What every test's remote begins as."""
    folder = tmp_path_factory.mktemp("first-remote")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "commit", "-q", "--allow-empty", "-m", "first")
    Remote(folder=folder).commit("main", 29)
    return folder


@pytest.fixture
def checkout(remote: Remote, tmp_path: Path) -> Callable[..., Checkout]:
    """Make the checkout of a commit as a runner does: a shallow fetch of one ref into an empty repository."""

    def make(commit: str, *, ref: str, depth: int = 1) -> Checkout:
        folder = tmp_path / "builds" / "project"
        folder.mkdir(parents=True)
        git(folder, "init", "-q")
        git(folder, "remote", "add", "origin", remote.folder.as_uri())
        git(remote.folder, "update-ref", "refs/pipelines/70", commit)
        limit = [f"--depth={depth}"] if depth else []
        git(
            folder,
            "fetch",
            "-q",
            "--no-tags",
            *limit,
            "origin",
            f"+refs/pipelines/70:{ref}",
        )
        git(folder, "checkout", "-q", "--detach", commit)
        return Checkout(folder=folder)

    return make

"""A person's clone of a project: commits and pushes over the stand-in's own git."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["GitLab", "WorkTree"]

_TIMEOUT_S = 60


class GitLab(Protocol):
    """Where one may push to."""

    @property
    def url(self) -> str:
        """Its address."""
        ...

    @property
    def token(self) -> str:
        """Of a person who may push."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkTree:
    """Works on whatever branch is checked out; `main` first."""

    folder: Path

    @classmethod
    def clone(cls, gitlab: GitLab, project: str, folder: Path, *, branch: str = "main") -> Self:
        """A clone that may push; of an empty project an empty one."""
        folder.mkdir(parents=True)
        tree = cls(folder=folder)
        tree.git("init", "--quiet", f"--initial-branch={branch}")
        address = gitlab.url.replace("://", f"://root:{gitlab.token}@")
        tree.git("remote", "add", "origin", f"{address}/{project}.git")
        return tree

    def git(self, *arguments: str) -> str:
        """Run git here; its output."""
        person = {
            f"GIT_{role}_{field}": value
            for role in ("AUTHOR", "COMMITTER")
            for field, value in (("NAME", "Ann"), ("EMAIL", "ann@gitlab.invalid"))
        }
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.folder,
            env={**os.environ, **person, "GIT_CONFIG_NOSYSTEM": "1", "HOME": str(self.folder)},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
        assert done.returncode == 0, f"git {' '.join(arguments)}: {done.stderr}"
        return done.stdout.strip()

    def commit(self, files: Mapping[str, str], message: str = "change", *, is_pushed: bool = True) -> str:
        """Write files, commit, push; the commit's id."""
        for name, content in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        if is_pushed:
            self.push()
        return self.head

    def branch(self, name: str) -> None:
        """Start a branch here."""
        self.git("checkout", "--quiet", "-b", name)

    def push(self, *options: str) -> None:
        """Push what is checked out under its own name."""
        self.git("push", "--quiet", *options, "origin", "HEAD")

    @property
    def head(self) -> str:
        """The commit that is checked out."""
        return self.git("rev-parse", "HEAD")

"""A bare repository as GitLab keeps it: branches, tags, merge requests' heads, and a ref for every pipeline."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from fnmatch import translate
from typing import TYPE_CHECKING

from tests.support.gitlab.errors import ApiError, not_found

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["CommitChanges", "Repository"]

_EMPTY_TREE = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"
_GIT_TIMEOUT_S = 30
_CONFIG = """
[uploadpack]
\tallowReachableSHA1InWant = true
[http]
\treceivepack = true
[gc]
\tauto = 0
"""


@dataclass(frozen=True, slots=True)
class Repository:
    """Reads and writes one bare repository with git itself."""

    folder: Path

    def create(self, default_branch: str) -> None:
        """Make it, empty, unless it is there."""
        if self.folder.exists():
            return
        self.folder.mkdir(parents=True)
        self._git("init", "--quiet", "--bare", f"--initial-branch={default_branch}")
        with (self.folder / "config").open("a", encoding="utf-8") as config:
            config.write(_CONFIG)

    def commit_of(self, ref: str, *, is_tag: bool = False) -> str:
        """The commit a branch, tag or full ref points to; 400 when there is none."""
        names = [ref] if ref.startswith("refs/") else [f"refs/{'tags' if is_tag else 'heads'}/{ref}"]
        for name in names:
            found = self._try("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
            if found:
                return found
        raise ApiError(400, "Reference not found")

    def is_tag(self, ref: str) -> bool:
        """Whether there is a tag and no branch of that name."""
        return bool(self._try("rev-parse", "--verify", "--quiet", f"refs/tags/{ref}")) and not bool(
            self._try("rev-parse", "--verify", "--quiet", f"refs/heads/{ref}")
        )

    def set_ref(self, name: str, sha: str) -> None:
        """Point a full ref name to a commit."""
        self._git("update-ref", name, sha)

    def file(self, sha: str, path: str) -> str:
        """A file's text in a commit; 404 when it is not there."""
        done = self._run("show", f"{sha}:{path}")
        if done.returncode != 0:
            raise not_found("File")
        return done.stdout

    def merge_base(self, one: str, other: str) -> str:
        """The commit both come from; empty when there is none."""
        return self._try("merge-base", one, other)

    def last_commit_of(self, sha: str, path: str) -> str:
        """The newest commit up to `sha` that touched the path; empty when none did."""
        return self._try("log", "-1", "--format=%H", sha, "--", path)

    def details(self, sha: str) -> dict[str, str]:
        """Author, time and message, as predefined variables give them."""
        text = self._git("show", "--no-patch", "--format=%an <%ae>%n%cI%n%s%n%b", sha)
        author, time, title, *body = text.split("\n")
        description = "\n".join(body).strip()
        message = f"{title}\n\n{description}" if description else title
        return {
            "CI_COMMIT_AUTHOR": author,
            "CI_COMMIT_TIMESTAMP": time,
            "CI_COMMIT_TITLE": title,
            "CI_COMMIT_DESCRIPTION": description,
            "CI_COMMIT_MESSAGE": message,
        }

    def changed_files(self, before: str, sha: str) -> list[str]:
        """Paths that differ between two commits."""
        return self._git("diff", "--name-only", before or _EMPTY_TREE, sha).splitlines()

    def files(self, sha: str) -> list[str]:
        """All paths of a commit."""
        return self._git("ls-tree", "-r", "--name-only", sha).splitlines()

    def has(self, sha: str) -> bool:
        """Whether the commit is in the repository."""
        return self._run("cat-file", "-e", f"{sha}^{{commit}}").returncode == 0

    def _run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": os.environ.get("PATH", ""),
            "HOME": str(self.folder),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
        }
        return subprocess.run(
            ["git", *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT_S,
            check=False,
        )

    def _try(self, *arguments: str) -> str:
        done = self._run(*arguments)
        return done.stdout.strip() if done.returncode == 0 else ""

    def _git(self, *arguments: str) -> str:
        done = self._run(*arguments)
        if done.returncode != 0:
            raise ApiError(400, f"git {arguments[0]}: {done.stderr.strip()}")
        return done.stdout.strip()


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitChanges:
    """What `rules:changes` and `rules:exists` ask."""

    repository: Repository
    sha: str
    base: str | None
    """The commit to compare with; None where GitLab takes everything as changed."""

    def has_changed(self, patterns: Sequence[str]) -> bool:
        """Whether a path that differs from the base matches."""
        if self.base is None or not self.repository.has(self.base):
            return True
        return _any_matches(self.repository.changed_files(self.base, self.sha), patterns)

    def has_file(self, patterns: Sequence[str]) -> bool:
        """Whether a path of the commit matches."""
        return _any_matches(self.repository.files(self.sha), patterns)


def _any_matches(paths: Sequence[str], patterns: Sequence[str]) -> bool:
    expressions = [re.compile(_glob(pattern)) for pattern in patterns]
    return any(expression.match(path) for expression in expressions for path in paths)


def _glob(pattern: str) -> str:
    """A glob in which `**/` is any number of folders and `*` stays within one."""
    result = ""
    for part in re.split(r"(\*\*/|\*\*|\*)", pattern):
        if part == "**/":
            result += "(?:.*/)?"
        elif part == "**":
            result += ".*"
        elif part == "*":
            result += "[^/]*"
        else:
            result += translate(part).removeprefix("(?s:").removesuffix(r")\Z")
    return rf"{result}\Z"

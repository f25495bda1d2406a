"""Makes commits and their common history available in a clone that may be shallow.

Only objects are fetched: no branch, tag or file of the checkout changes. A complete clone stays complete, a shallow one
gets deeper by doubling steps, until what is looked for is there, everything is, or the time is up.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nx_dte.base_commit.git import GitFailedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from nx_dte.base_commit.git import Git

__all__ = ["History", "is_commit_id"]

FIRST_DEPTH = 50
MAX_STEP = 50_000
_COMMIT_ID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_NOT_THERE = ("not our ref", "unadvertised object", "find remote ref")
"""How a remote says that it does not have a commit, or would not give it. Whatever else it says is no answer."""
_OBJECTS_ONLY = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules")


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The commits of one checkout."""

    git: Git
    head: str
    say: Callable[[str], None]
    """Gets a sentence for each thing that takes time or fails."""
    unanswered: list[str] = field(default_factory=list)
    """What the remote was asked for in vain: with an answer another base might have been found."""

    def has(self, commit: str) -> bool:
        """Whether a commit is in the clone."""
        return self.git.succeeds("cat-file", "-e", f"{commit}^{{commit}}")

    def bring(self, commit: str) -> bool:
        """Make sure a commit is in the clone; False, loudly, when it cannot be had."""
        if not is_commit_id(commit):  # nothing else is passed to git as an argument of its own
            self.say(f"{commit!r} is not the id of a commit")
            return False
        if self.has(commit):
            return True
        depth = (f"--depth={max(FIRST_DEPTH, self._depth())}",) if self._is_shallow() else ()
        try:
            self.git.over_network("fetch", (*_OBJECTS_ONLY, *depth), (commit,))
        except GitFailedError as error:
            self.say(f"commit {commit} cannot be fetched: {error.message}")
            if not any(words in error.message for words in _NOT_THERE):
                self.unanswered.append(f"commit {commit}")
            return False
        return self.has(commit)

    def tip_of(self, branch: str) -> str | None:
        """The commit a branch is at on the remote, brought here; what the clone knows of it if the remote does not answer."""
        try:
            listed = self.git.over_network("ls-remote", ("--quiet",), (f"refs/heads/{branch}",))
            tip = listed.split("\t")[0] or None
            if tip is None:
                self.say(f"there is no branch {branch} on the remote")
        except GitFailedError as error:
            self.say(f"branch {branch} cannot be looked up: {error.message}")
            self.unanswered.append(f"branch {branch}")
            tip = self.git.asked(
                "rev-parse", "--verify", "--quiet", f"refs/remotes/origin/{branch}^{{commit}}"
            )
        return tip if tip is not None and self.bring(tip) else None

    def common_with_head(self, commit: str) -> str | None:
        """The newest common ancestor of a commit that is here, and head; None, loudly, if there is none to be found."""
        step = FIRST_DEPTH
        while True:
            found = self.git.asked("merge-base", commit, self.head)
            if found is not None:
                return found
            if not self._is_shallow():
                self.say(f"commit {commit} and {self.head} have no common history")
                return None
            if not self._deepen(step, commit):
                return None
            step = min(step * 2, MAX_STEP)

    def parent_of_head(self) -> str | None:
        """The (first) parent of head, brought here; None if it has none or it cannot be had."""
        parent = self._visible_parent()
        if parent is None and self._is_cut(self.head):
            self._deepen(1)
            parent = self._visible_parent()
        return parent

    def is_root(self, commit: str) -> bool:
        """Whether a commit really has no parent, rather than one that a shallow clone hides."""
        return not self._is_cut(commit) and not self.git.succeeds("rev-parse", "--verify", f"{commit}^1")

    def empty_tree(self) -> str:
        """What everything differs from."""
        return self.git.run("hash-object", "-t", "tree", "/dev/null")

    def _visible_parent(self) -> str | None:
        return self.git.asked("rev-parse", "--verify", "--quiet", f"{self.head}^1^{{commit}}")

    def _deepen(self, step: int, *commits: str) -> bool:
        self.say(f"this clone is shallow: fetching {step} more commits of its history")
        try:
            self.git.over_network("fetch", (*_OBJECTS_ONLY, f"--deepen={step}"), (self.head, *commits))
        except GitFailedError as error:
            self.say(f"the clone cannot be made deeper: {error.message}")
            self.unanswered.append("more of the history")
            return False
        return True

    def _depth(self) -> int:
        count = self.git.asked("rev-list", "--count", "--first-parent", self.head) or "0"
        return int(count) if count.isdecimal() else 0

    def _is_shallow(self) -> bool:
        return self.git.asked("rev-parse", "--is-shallow-repository") == "true"

    def _is_cut(self, commit: str) -> bool:
        """Whether the shallow clone's edge is at this commit."""
        file = self.git.root / self.git.run("rev-parse", "--git-path", "shallow")
        return file.is_file() and commit in file.read_text(encoding="ascii").split()


def is_commit_id(text: str) -> bool:
    """Whether this is a commit's full id, rather than a name for one."""
    return _COMMIT_ID.fullmatch(text) is not None

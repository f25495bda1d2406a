"""The rules, in order: the first that gives a usable commit wins."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from nx_dte.base_commit.git import NotACheckoutError
from nx_dte.base_commit.history import History, is_commit_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nx_dte.base_commit.git import Git
    from nx_dte.gitlab import CiEnvironment

__all__ = ["Base", "Rule", "resolve"]


class Rule(StrEnum):
    """Where the base comes from."""

    GIVEN = "given"
    MERGE_REQUEST = "merge_request"
    TARGET_BRANCH = "target_branch"
    BEFORE = "before"
    LAST_GREEN = "last_green"
    PARENT = "parent"
    EMPTY_TREE = "empty_tree"


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """Base and head for `nx affected`, both full ids."""

    base: str
    head: str
    rule: Rule
    reason: str
    """A sentence for the job's log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Search:
    environment: CiEnvironment
    history: History
    given: str | None
    last_green: Callable[[str], str | None]

    @property
    def head(self) -> str:
        return self.history.head

    def candidates(self) -> Iterator[Base | None]:
        """Every rule's commit, each looked for only when the ones before gave none."""
        yield self._given()
        yield self._merge_request()
        yield self._target_branch()
        yield self._before()
        yield self._last_green()
        yield self._parent()

    def _given(self) -> Base | None:
        """Somebody has set NX_BASE: that is a wish, not a guess, so it may be head itself."""
        if self.given is None:
            return None
        if self.given == self.history.empty_tree():  # as this command itself says it
            return self._found(self.given, Rule.GIVEN, "NX_BASE is the empty tree, so everything counts")
        commit = self.history.git.asked("rev-parse", "--verify", "--quiet", f"{self.given}^{{commit}}")
        if commit is None and is_commit_id(self.given):
            commit = self.given if self.history.bring(self.given) else None
        elif commit is None:
            # A branch that the clone does not know: a runner fetches the job's own only.
            commit = self.history.tip_of(self.given.removeprefix("origin/"))
        if commit is None:
            self._pass_over(f"NX_BASE is set to {self.given}, which is no commit here")
            return None
        self.history.common_with_head(commit)
        return self._found(commit, Rule.GIVEN, f"NX_BASE is set to {self.given}")

    def _merge_request(self) -> Base | None:
        request = self.environment.merge_request
        if request is None or request.diff_base_commit is None:
            return None
        commit = request.diff_base_commit
        if not self.history.bring(commit):
            self._pass_over(f"the base {commit} of merge request !{request.iid} is not to be had")
            return None
        # The history in between is for whoever asks git for a merge base again, as Nx does. So above.
        self.history.common_with_head(commit)
        return self._found(commit, Rule.MERGE_REQUEST, f"base of merge request !{request.iid}")

    def _target_branch(self) -> Base | None:
        """Where this branch parted from the one it will go to. Head itself is an answer for merge requests only."""
        request, environment = self.environment.merge_request, self.environment
        branch = request.target_branch if request is not None else environment.default_branch
        if branch is None or (request is None and branch == environment.branch):
            return None
        tip = self.history.tip_of(branch)
        commit = None if tip is None else self.history.common_with_head(tip)
        if commit is None:
            self._pass_over(f"no common ancestor with branch {branch} was found")
            return None
        if commit == self.head and request is None:
            self._pass_over(f"this commit is part of branch {branch} already")
            return None
        return self._found(commit, Rule.TARGET_BRANCH, f"common ancestor with branch {branch}")

    def _before(self) -> Base | None:
        before = self.environment.before_commit
        if before is None:
            return None
        return self._past_state(before, Rule.BEFORE, "commit before this push", "CI_COMMIT_BEFORE_SHA")

    def _last_green(self) -> Base | None:
        branch = self.environment.branch or self.environment.default_branch
        green = None if branch is None else self.last_green(branch)
        if green is None:
            return None
        return self._past_state(
            green, Rule.LAST_GREEN, f"last green commit of branch {branch}", "the last green commit"
        )

    def _parent(self) -> Base | None:
        """It is right for one commit only, so it is no answer where the remote did not say what came before."""
        if self.history.unanswered:
            self._pass_over(f"the remote did not answer for {self.history.unanswered[0]}")
            return None
        parent = self.history.parent_of_head()
        if parent is None:
            return None
        return self._found(parent, Rule.PARENT, "the commit before this one, for want of anything better")

    def _past_state(self, commit: str, rule: Rule, reason: str, what: str) -> Base | None:
        """A state the branch was in. After a forced push it is no ancestor: what both have in common is the base."""
        if not self.history.bring(commit):
            self._pass_over(f"{what} {commit} is not to be had (a forced push may have removed it)")
            return None
        common = self.history.common_with_head(commit)
        if common == self.head:
            self._pass_over(f"{what} {commit} contains this commit already: nothing would count as affected")
            return None
        if common is None:
            return self._found(commit, rule, f"{reason}, which shares no known history with this one")
        if common != commit:
            return self._found(common, rule, f"{reason}, or rather what this one has in common with it")
        return self._found(commit, rule, reason)

    def _found(self, commit: str, rule: Rule, reason: str) -> Base:
        return Base(base=commit, head=self.head, rule=rule, reason=reason)

    def _pass_over(self, message: str) -> None:
        self.history.say(f"{message}; trying the next rule")


def resolve(
    git: Git,
    environment: CiEnvironment,
    *,
    given_base: str | None = None,
    given_head: str | None = None,
    last_green: Callable[[str], str | None] = lambda _branch: None,
    say: Callable[[str], None] = lambda _message: None,
) -> Base:
    """The commit that this pipeline's commit is to be compared with.

    `given_base` and `given_head` are NX_BASE and NX_HEAD where somebody set them. `last_green` names the newest green
    commit of a branch, if anybody remembers. `say` gets a sentence for everything that is passed over or takes time.

    Raises:
        NotACheckoutError: the commit of this pipeline is not in the checkout and cannot be fetched.
    """
    head = _head(git, environment, given_head, say)
    search = _Search(
        environment=environment,
        history=History(git=git, head=head, say=say),
        given=None if given_base is None or not given_base.strip("0") else given_base,
        last_green=last_green,
    )
    for candidate in search.candidates():
        if candidate is not None:
            return candidate
    why = (
        "the first commit of all"
        if search.history.is_root(head)
        else "no other commit is to be had, so everything counts"
    )
    return Base(base=search.history.empty_tree(), head=head, rule=Rule.EMPTY_TREE, reason=why)


def _head(git: Git, environment: CiEnvironment, given: str | None, say: Callable[[str], None]) -> str:
    wanted = given or environment.commit or "HEAD"
    commit = git.asked("rev-parse", "--verify", "--quiet", f"{wanted}^{{commit}}")
    if commit is None and wanted != "HEAD" and History(git=git, head="HEAD", say=say).bring(wanted):
        commit = wanted
    if commit is None:
        raise NotACheckoutError(
            f"commit {wanted} is not in the checkout {git.root}; check it out, or correct NX_HEAD or CI_COMMIT_SHA"
        )
    return commit

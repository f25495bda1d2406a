"""Everything before the first command: coordinator, rerun guard, base and head. Nothing is opened yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nx_dte import rerun_guard
from nx_dte.base_commit import Git, resolve
from nx_dte.client import Presence, find_coordinator
from nx_dte.gitlab import GitLabApi, GitLabUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nx_dte.client import CoordinatorClient
    from nx_dte.gitlab import CiEnvironment
    from nx_dte.nx_commands import NxCheckout
    from nx_dte.orchestrator.plan import Options

__all__ = ["GuardRefusedError", "Preparation", "Prepared"]

JOIN_TIMEOUT_S = 300.0
"""What the light client waits for a first agent when nothing is set."""
LAST_GREEN_S = 10.0


class GuardRefusedError(Exception):
    """The rerun guard does not let this job start; it has said why."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(exit_code)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """How the commands are to be run."""

    variables: Mapping[str, str]
    """What the commands get beside the job's own variables."""
    is_ours: bool = False
    """Whether a coordinator of ours is there; else a real Nx Cloud, unless there is a reason to run alone."""
    why_local: str | None = None
    """Why nothing is distributed; None: it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preparation:
    """Finds out how to run."""

    options: Options
    checkout: NxCheckout
    environ: Mapping[str, str]
    ci: CiEnvironment
    client: CoordinatorClient
    say: Callable[[str], None]

    def prepare(self) -> Prepared:
        """Ask the coordinator, then the guard, then git.

        Raises:
            GuardRefusedError: the guard says no.
            ConfigurationError: this job cannot be run distributed, and the coordinator is not away.
            NotACheckoutError: there is no git checkout.
        """
        if self.environ.get("NX_NO_CLOUD") == "true":
            return Prepared(variables=self._base_and_head(), why_local="NX_NO_CLOUD=true")
        probe = find_coordinator(self.client, patience_s=self.options.patience_s)
        if probe.is_away:
            return Prepared(variables=self._base_and_head(), why_local=probe.message)
        is_ours = probe.presence is Presence.READY
        if is_ours:
            self.checkout.require_ours()
        verdict = self._guard(is_ours=is_ours)
        if not verdict.may_proceed:
            raise GuardRefusedError(verdict.exit_code)
        variables = self._base_and_head()
        if verdict.join_timeout_s is not None:
            variables["NX_DTE_JOIN_TIMEOUT"] = f"{self._join_timeout_s(verdict.join_timeout_s):g}"
        return Prepared(variables=variables, is_ours=is_ours)

    def _guard(self, *, is_ours: bool) -> rerun_guard.Verdict:
        project_dir = self.ci.project_dir
        is_there = project_dir is not None and project_dir.is_dir()
        verdict = rerun_guard.check(
            self.ci,
            self.client,
            role=rerun_guard.Role.MAIN,
            mode=self.options.mode,
            directory=project_dir if project_dir is not None and is_there else self.checkout.root,
            environ=self.environ,
            shape=self.options.shape,
        )
        if not (is_ours and verdict.may_proceed):
            # What could not be found out matters where the coordinator does not know better.
            for note in verdict.notes:
                self.say(f"guard: note: {note}")
        self.say(f"guard: {verdict.message}")
        return verdict

    def _base_and_head(self) -> dict[str, str]:
        git = Git.open(
            self.checkout.root,
            self.environ,
            fetch_timeout_s=self.options.fetch_timeout_s,
            remote_url=self.ci.repository_url,
        )
        base = resolve(
            git,
            self.ci,
            given_base=self.environ.get("NX_BASE") or None,
            given_head=self.environ.get("NX_HEAD") or None,
            last_green=self._last_green,
            say=self.say,
        )
        self.say(f"base {base.base}: {base.reason} [{base.rule.value}]")
        return {"NX_BASE": base.base, "NX_HEAD": base.head}

    def _last_green(self, branch: str) -> str | None:
        try:
            return GitLabApi(environment=self.ci).last_green_commit(branch, timeout_s=LAST_GREEN_S)
        except GitLabUnavailableError as error:
            self.say(f"the last green commit of branch {branch} is not known: {error.message}")
            return None

    def _join_timeout_s(self, wanted_s: float) -> float:
        """The shorter one; what cannot be read is left to the light client, which says so."""
        try:
            return min(float(self.environ.get("NX_DTE_JOIN_TIMEOUT") or JOIN_TIMEOUT_S), wanted_s)
        except ValueError:
            return wanted_s

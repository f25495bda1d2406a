"""The main job as a whole."""

from __future__ import annotations

import os
import sys
import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nx_dte import rerun_guard
from nx_dte.base_commit import Git, resolve
from nx_dte.client import CoordinatorClient, Presence
from nx_dte.errors import ConfigurationError, NxDteError
from nx_dte.gitlab import CiEnvironment, GitLabApi, GitLabUnavailableError
from nx_dte.gitlab.sections import SectionLog
from nx_dte.nx_commands import find_checkout
from nx_dte.orchestrator.ending import Ending
from nx_dte.orchestrator.plan import LOCAL_VARIABLES, Step, StepKind, start_words, steps
from nx_dte.orchestrator.reporting import report
from nx_dte.orchestrator.running import JobStoppedError, StepRunner
from nx_dte.processes import MARK, StopSignals, end_marked

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nx_dte.nx_commands import NxCheckout
    from nx_dte.orchestrator.plan import Options

__all__ = ["orchestrate"]

JOIN_TIMEOUT_S = 300.0
"""What the light client waits for a first agent when nothing is set."""
LAST_GREEN_S = 10.0
_AWAY = frozenset({Presence.UNREACHABLE, Presence.UNREADY})


def orchestrate(options: Options, environ: Mapping[str, str]) -> int:
    """Run the main job to its end; returns its exit code: that of the first step that failed.

    Raises:
        ConfigurationError: this job cannot run Nx, or does not know its coordinator.
        NotACheckoutError: there is no git checkout.
    """
    checkout = find_checkout(options.directory, runner=options.runner)
    with StopSignals() as stopping:
        job = _Job(
            options=options,
            checkout=checkout,
            environ=environ,
            ci=CiEnvironment.from_environ(environ),
            client=CoordinatorClient.from_environ(environ),
            key=uuid.uuid4().hex,
            stopping=stopping,
        )
        try:
            return job.run()
        except JobStoppedError:
            return stopping.exit_code


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    options: Options
    checkout: NxCheckout
    environ: Mapping[str, str]
    ci: CiEnvironment
    client: CoordinatorClient
    key: str
    stopping: StopSignals

    @property
    def runner(self) -> StepRunner:
        sections = SectionLog(write=_write, now=time.time, is_gitlab=self.ci.is_gitlab)
        return StepRunner(folder=self.checkout.root, sections=sections, stopping=self.stopping)

    def run(self) -> int:
        if self.environ.get("NX_NO_CLOUD") == "true":
            return self._run_local("NX_NO_CLOUD=true", self._variables())
        probe = self.client.probe_for(self.options.probe_s)
        if probe.presence is Presence.NOT_CONFIGURED:
            raise ConfigurationError(
                f"{probe.message}. Set it to the coordinator's address (NX_NO_CLOUD=true runs everything in this job)"
            )
        if probe.presence in _AWAY:
            return self._run_local(probe.message, self._variables())
        self._require_identity(is_ours=probe.is_ours)
        verdict = self._guard()
        if not verdict.may_proceed:
            return verdict.exit_code
        variables = self._variables()
        if verdict.join_timeout_s is not None:
            variables["NX_DTE_JOIN_TIMEOUT"] = f"{self._join_timeout_s(verdict.join_timeout_s):g}"
        return self._run_distributed(variables, is_ours=probe.is_ours)

    # ------------------------------------------------------------------------------------ before
    def _require_identity(self, *, is_ours: bool) -> None:
        if is_ours and self.client.cloud.token is None:
            raise ConfigurationError(
                "NX_CLOUD_ACCESS_TOKEN is not set, so the coordinator will refuse this job. Make it a CI/CD variable of the "
                "project"
            )
        if is_ours and self.client.cloud.ci_id is None:
            raise ConfigurationError(
                "nothing tells this CI run from others. On GitLab CI_PIPELINE_ID does; elsewhere set NX_CI_EXECUTION_ID, "
                "the same for main and agents"
            )

    def _guard(self) -> rerun_guard.Verdict:
        verdict = rerun_guard.check(
            self.ci,
            self.client,
            role=rerun_guard.Role.MAIN,
            mode=self.options.mode,
            directory=self.checkout.root if self.ci.project_dir is None else self.ci.project_dir,
            environ=self.environ,
            shape=self.options.shape,
        )
        for note in verdict.notes:
            _say(f"guard: note: {note}")
        _say(f"guard: {verdict.message}")
        return verdict

    def _variables(self) -> dict[str, str]:
        """What the steps get beside the job's own variables."""
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
            say=_say,
        )
        _say(f"base {base.base}: {base.reason} [{base.rule.value}]")
        return {"NX_BASE": base.base, "NX_HEAD": base.head, MARK: self.key}

    def _last_green(self, branch: str) -> str | None:
        try:
            return GitLabApi(environment=self.ci).last_green_commit(branch, timeout_s=LAST_GREEN_S)
        except GitLabUnavailableError as error:
            _say(f"the last green commit of branch {branch} is not known: {error.message}")
            return None

    def _join_timeout_s(self, wanted_s: float) -> float:
        """The shorter one; what cannot be read is left to the light client, which says so."""
        try:
            return min(float(self.environ.get("NX_DTE_JOIN_TIMEOUT") or JOIN_TIMEOUT_S), wanted_s)
        except ValueError:
            return wanted_s

    # ------------------------------------------------------------------------------------ the run
    def _run_local(self, why: str, variables: Mapping[str, str]) -> int:
        _say(f"WARNING: {why}. NOTHING IS DISTRIBUTED: every task runs in this job")
        added = {**variables, **LOCAL_VARIABLES}
        env = self.checkout.environment({**self.environ, **added})
        try:
            return self._run_steps(steps(self.options, self.checkout, added, is_local=True), env)
        except JobStoppedError:
            end_marked(self.key, grace_s=5.0)
            raise

    def _run_distributed(self, variables: Mapping[str, str], *, is_ours: bool) -> int:
        env = self.checkout.environment({**self.environ, **variables})
        ending = Ending(
            client=self.client,
            checkout=self.checkout,
            runner=self.runner,
            env=env,
            key=self.key,
            job_id=self.ci.job_id,
            is_ours=is_ours,
            say=_say,
        )
        is_opening = True
        try:
            words = start_words(self.options, is_ours=is_ours)
            code = self.runner.run("nx-cloud " + " ".join(words), self.checkout.nx_cloud(*words), env=env)
            is_opening = False
            if code != 0:
                return self._after_failed_start(code, variables, is_ours=is_ours)
            ci_run_id = self._ci_run_id() if is_ours else None
            code = self._run_steps(steps(self.options, self.checkout, variables, is_local=False), env)
        except JobStoppedError:
            _say(f"{_name(self.stopping)}: this job is to stop; telling the coordinator")
            ending.cancel(is_opening=is_opening)
            raise
        ending.complete()
        self._report(ci_run_id, code, is_ours=is_ours)
        return code

    def _after_failed_start(self, code: int, variables: Mapping[str, str], *, is_ours: bool) -> int:
        """A coordinator that went away just then never makes a good change red."""
        probe = self.client.probe()
        if is_ours and probe.presence in _AWAY:
            return self._run_local(probe.message, variables)
        _say(f"start-ci-run ended with exit code {code}, so nothing was run; what it says stands above")
        return code

    def _run_steps(self, planned: Sequence[Step], env: Mapping[str, str]) -> int:
        """All of them, or those up to the first failure; returns the first failure's exit code."""
        runner = self.runner
        first_failure = 0
        for step in planned:
            code = runner.run(step.title, step.argv, env=env, is_collapsed=step.kind is StepKind.RECORD)
            if code == 0:
                continue
            _say(f"{step.kind.value} `{step.title}` failed with exit code {code}")
            first_failure = first_failure or code
            if self.options.is_fail_fast:
                break
        return first_failure

    def _ci_run_id(self) -> str | None:
        try:
            run = self.client.newest_run()
        except NxDteError as error:
            _say(f"no summary: {error.message}")
            return None
        return None if run is None else run.ci_run_id

    def _report(self, ci_run_id: str | None, code: int, *, is_ours: bool) -> None:
        if not is_ours:
            _say(
                "summary and test report come from coordinators of nx-dte only; see Nx Cloud's own links above"
            )
        elif ci_run_id is not None:
            report(
                self.client,
                ci_run_id,
                checkout=self.checkout,
                exit_code=code,
                junit=self.options.junit,
                say=lambda line: _write(f"{line}\n"),
            )


def _name(stopping: StopSignals) -> str:
    return "signal" if stopping.received is None else stopping.received.name


def _write(text: str) -> None:
    """To the job's log, at once: what commands print goes there directly."""
    sys.stdout.write(text)
    sys.stdout.flush()


def _say(message: str) -> None:
    sys.stdout.flush()
    sys.stderr.write(f"nx-dte orchestrate: {message}{os.linesep}")
    sys.stderr.flush()

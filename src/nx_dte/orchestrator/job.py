"""The main job as a whole."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nx_dte.client import CoordinatorClient, Presence
from nx_dte.errors import EXIT_INTERNAL, NxDteError
from nx_dte.gitlab import CiEnvironment
from nx_dte.gitlab.sections import SectionLog
from nx_dte.nx_commands import find_checkout
from nx_dte.orchestrator.ending import Ending
from nx_dte.orchestrator.plan import LOCAL_VARIABLES, StepKind, start_words, steps
from nx_dte.orchestrator.preparing import GuardRefusedError, Preparation
from nx_dte.orchestrator.reporting import report
from nx_dte.orchestrator.running import StepRunner
from nx_dte.orchestrator.telling import Failure, Teller
from nx_dte.processes import ERRORS, MARK, StoppedError, StopSignals, end_marked, write_to_log

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nx_dte.nx_commands import NxCheckout
    from nx_dte.orchestrator.plan import Options, Step
    from nx_dte.orchestrator.preparing import Prepared

__all__ = ["orchestrate"]

LOCAL_END_S = 5.0
STILL_AWAY_S = 2.0
"""How long a coordinator is waited for that was away before the last step, too."""


def orchestrate(options: Options, environ: Mapping[str, str]) -> int:
    """Run the main job to its end; returns its exit code: that of the first step that failed.

    Raises:
        ConfigurationError: this job cannot run Nx, or does not know its coordinator.
        CoordinatorRefusedError: the coordinator does not take this job's token.
        NotACheckoutError: there is no git checkout.
    """
    checkout = find_checkout(options.directory, runner=options.runner, environ=environ)
    environ = checkout.with_settings(environ)
    ci = CiEnvironment.from_environ(environ)
    client = CoordinatorClient.from_environ(environ)
    preparation = Preparation(
        options=options, checkout=checkout, environ=environ, ci=ci, client=client, say=_say
    )
    with StopSignals() as stopping:
        try:
            try:
                with stopping.interrupting():
                    prepared = preparation.prepare()
            except StoppedError:
                _say("told to stop before anything was begun")
                raise
            job = _Job(
                options=options,
                checkout=checkout,
                environ=environ,
                ci=ci,
                client=client,
                key=uuid.uuid4().hex,
                prepared=prepared,
                runner=StepRunner(
                    folder=checkout.root,
                    sections=SectionLog(write=_write, now=time.time, is_gitlab=ci.is_gitlab),
                    stopping=stopping,
                ),
            )
            return job.run()
        except GuardRefusedError as refused:
            return refused.exit_code
        except StoppedError:
            return stopping.exit_code


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    options: Options
    checkout: NxCheckout
    environ: Mapping[str, str]
    ci: CiEnvironment
    client: CoordinatorClient
    key: str
    prepared: Prepared
    runner: StepRunner

    def run(self) -> int:
        why_local = self.prepared.why_local
        return self._run_distributed() if why_local is None else self._run_local(why_local)

    # ------------------------------------------------------------------------------------ alone
    def _run_local(self, why: str) -> int:
        self._say_loudly(f"{why}. NOTHING IS DISTRIBUTED: every task runs in this job")
        failures: list[Failure] = []
        try:
            for step in self._steps():
                if not self._goes_on_after(step, failures, is_local=True):
                    break
        except BaseException:
            end_marked(self.key, grace_s=LOCAL_END_S)
            raise
        self._say_loudly(f"everything ran in this job, nothing was distributed: {why}")
        if self.options.junit is not None:
            _say(f"no JUnit report: {self.options.junit} is made of what a coordinator knows")
        return failures[0].code if failures else 0

    # ------------------------------------------------------------------------------ distributed
    def _run_distributed(self) -> int:
        ending = Ending(
            client=self.client,
            checkout=self.checkout,
            runner=self.runner,
            env=self._env(is_local=False),
            key=self.key,
            teller=Teller(client=self.client, key=self.key, job_id=self.ci.job_id)
            if self.prepared.is_ours
            else None,
            say=_say,
        )
        is_opening = True
        try:
            words = start_words(self.options, is_ours=self.prepared.is_ours)
            code = self.runner.run(
                "nx-cloud " + " ".join(words), self.checkout.nx_cloud(*words), env=self._env(is_local=False)
            )
            is_opening = False
            if code == 0:
                ci_run_id = self._ci_run_id()
                failures = self._run_all()
                ending.complete(failures[0] if failures else None)
                self._report(ci_run_id, failures)
                return failures[0].code if failures else 0
        except BaseException as error:
            ending.cancel(self._abrupt_end(error), is_opening=is_opening)
            raise
        return self._after_failed_start(code)

    def _abrupt_end(self, error: BaseException) -> Failure:
        """Why the job leaves in the middle, for those who stay."""
        stopping = self.runner.stopping
        if not isinstance(error, StoppedError) or stopping.received is None:
            text = f"nx-dte orchestrate has failed: {type(error).__name__}"
            return Failure(code=EXIT_INTERNAL, command="nx-dte orchestrate", text=text)
        _say(f"{stopping.received.name}: this job is to stop; telling the coordinator")
        text = f"the job was told to stop ({stopping.received.name})"
        return Failure(code=stopping.exit_code, command="nx-dte orchestrate", text=text)

    def _after_failed_start(self, code: int) -> int:
        """A coordinator that went away just then never makes a good change red."""
        if self.prepared.is_ours:
            with self.runner.stopping.interrupting():
                probe = self.client.probe_for(self.options.patience_s)
            if probe.presence is not Presence.READY:
                return self._run_local(probe.message)
        _say(f"start-ci-run ended with exit code {code}, so nothing was run; what it says stands above")
        if self.prepared.is_ours and self._is_run_over():
            _say(
                "should this job have called nx-dte orchestrate before: it can do so once. Give all commands to one call, "
                "further ones by --run"
            )
        return code

    def _is_run_over(self) -> bool:
        try:
            with self.runner.stopping.interrupting():
                run = self.client.newest_run()
        except NxDteError:
            return False
        return run is not None and run.state.is_over

    def _run_all(self) -> list[Failure]:
        """Every step, each without the coordinator while that is away: Nx may not even load its client then."""
        failures: list[Failure] = []
        patience_s = self.options.patience_s
        for number, step in enumerate(self._steps()):
            is_local = False
            if self.prepared.is_ours and number > 0:
                with self.runner.stopping.interrupting():
                    probe = self.client.probe_for(patience_s)
                is_local = probe.presence is not Presence.READY
                patience_s = STILL_AWAY_S if is_local else self.options.patience_s
                if is_local:
                    self._say_loudly(f"{probe.message}. `{step.title}` IS NOT DISTRIBUTED")
            if not self._goes_on_after(step, failures, is_local=is_local):
                break
        return failures

    def _ci_run_id(self) -> str | None:
        if not self.prepared.is_ours:
            return None
        try:
            with self.runner.stopping.interrupting():
                run = self.client.newest_run()
        except NxDteError as error:
            _say(f"no summary will follow: {error.message}")
            return None
        return None if run is None else run.ci_run_id

    def _report(self, ci_run_id: str | None, failures: list[Failure]) -> None:
        if not self.prepared.is_ours:
            _say(
                "summary and test report come from coordinators of nx-dte only; see Nx Cloud's own links above"
            )
            return
        if ci_run_id is None:
            return
        with self.runner.stopping.interrupting():
            report(
                self.client,
                ci_run_id,
                checkout=self.checkout,
                exit_code=failures[0].code if failures else 0,
                failed_steps=tuple(failure.text for failure in failures),
                junit=self.options.junit,
                say=lambda line: _write(f"{line}\n"),
            )

    # ------------------------------------------------------------------------------------ steps
    def _steps(self) -> tuple[Step, ...]:
        return steps(self.options, self.checkout, self.prepared.variables)

    def _goes_on_after(self, step: Step, failures: list[Failure], *, is_local: bool) -> bool:
        """Run a step; whether the next one is to be run, too."""
        is_record = step.kind is StepKind.RECORD
        code = self.runner.run(
            f"{step.title} (recorded)" if is_record and not is_local else step.title,
            step.local_argv if is_local else step.argv,
            env=self._env(is_local=is_local),
            is_collapsed=is_record,
        )
        if code == 0:
            return True
        text = f"{step.kind.value} `{step.title}` failed with exit code {code}"
        failure = Failure(code=code, command=step.title, text=text)
        failures.append(failure)
        _say(failure.text)
        return not self.options.is_fail_fast

    def _env(self, *, is_local: bool) -> dict[str, str]:
        added = {**self.prepared.variables, MARK: self.key, **(LOCAL_VARIABLES if is_local else {})}
        return self.checkout.environment({**self.environ, **added})

    def _say_loudly(self, message: str) -> None:
        mark, end = ("\x1b[1;33m", "\x1b[0m") if self.ci.is_gitlab else ("", "")
        _say(f"{mark}WARNING: {message}{end}")


def _write(text: str) -> None:
    write_to_log(text.encode())


def _say(message: str) -> None:
    write_to_log(f"nx-dte orchestrate: {message}\n".encode(), stream=ERRORS)

"""The agent job as a whole: coordinator, guard, checkout, then the supervised process."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from nx_dte import rerun_guard
from nx_dte.agent.limits import Limits
from nx_dte.agent.reading import AgentLog
from nx_dte.agent.supervising import Supervisor
from nx_dte.client import CoordinatorClient, Presence, find_coordinator
from nx_dte.errors import EXIT_COORDINATOR_LOST, NxDteError
from nx_dte.gitlab import CiEnvironment
from nx_dte.gitlab.sections import SectionLog
from nx_dte.nx_commands import find_checkout
from nx_dte.processes import (
    ERRORS,
    MARK,
    Child,
    StoppedError,
    StopSignals,
    end_marked,
    write_to_log,
)
from nx_dte.rerun_guard.verdict import EXIT_MIRROR

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nx_dte.nx_commands import NxCheckout, Runner

__all__ = ["AgentOptions", "run_agent"]

MAIN_TIMEOUT_S = 600.0
ASK_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentOptions:
    """What the command line says."""

    directory: Path
    runner: Runner | None = None
    mode: rerun_guard.Mode | None = None
    shape: rerun_guard.PipelineShape = field(default_factory=rerun_guard.PipelineShape)
    main_timeout_s: float | None = None
    """How long to wait for the main job; None: 600 s with a coordinator of ours, as Nx Cloud has it elsewhere."""
    limits: Limits = field(default_factory=Limits)
    patience_s: float = 10.0
    """How long a coordinator that is away is waited for."""


def run_agent(options: AgentOptions, environ: Mapping[str, str]) -> int:
    """Run the agent job to its end; returns its exit code.

    Raises:
        ConfigurationError: this job cannot run Nx, or does not know its coordinator.
        CoordinatorRefusedError: the coordinator does not take this job's token.
    """
    if environ.get("NX_NO_CLOUD") == "true":
        _say("NX_NO_CLOUD=true: nothing is distributed, so there is nothing to do here")
        return 0
    checkout = find_checkout(options.directory, runner=options.runner, environ=environ)
    environ = checkout.with_settings(environ)
    client = CoordinatorClient.from_environ(environ)
    with StopSignals() as stopping:
        try:
            with stopping.interrupting():
                prepared = _prepare(options, checkout, client, environ)
        except StoppedError:
            _say("told to stop before anything was begun")
            return stopping.exit_code
        if isinstance(prepared, int):
            return prepared
        job = _AgentJob(
            options=options, checkout=checkout, client=client, stopping=stopping, environ=prepared.environ
        )
        return job.supervise(is_ours=prepared.is_ours)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Prepared:
    environ: Mapping[str, str]
    is_ours: bool


def _prepare(
    options: AgentOptions, checkout: NxCheckout, client: CoordinatorClient, environ: Mapping[str, str]
) -> _Prepared | int:
    """Coordinator and guard; the exit code where there is nothing to be begun."""
    probe = find_coordinator(client, patience_s=options.patience_s)
    if probe.is_away:
        _say(f"{probe.message}; an agent can do nothing without it, the main job runs its tasks itself")
        return EXIT_COORDINATOR_LOST
    is_ours = probe.presence is Presence.READY
    if is_ours:
        checkout.require_ours()
    verdict = _guard(options, checkout, client, environ, is_ours=is_ours)
    if verdict.may_proceed and verdict.after_attempt is not None:
        verdict = replace(rerun_guard.wait_for_main(verdict, client), notes=())
        _say(f"guard: {verdict.message}")
    if not verdict.may_proceed:
        return verdict.exit_code
    if not is_ours:
        timeouts = (options.main_timeout_s, verdict.main_timeout_s)
        return _Prepared(environ=_environment(environ, timeouts), is_ours=False)
    timeouts = (options.main_timeout_s or MAIN_TIMEOUT_S, verdict.main_timeout_s)
    return _Prepared(environ={**_environment(environ, timeouts), "NX_DTE_MIRROR": "1"}, is_ours=True)


def _guard(
    options: AgentOptions,
    checkout: NxCheckout,
    client: CoordinatorClient,
    environ: Mapping[str, str],
    *,
    is_ours: bool,
) -> rerun_guard.Verdict:
    ci = CiEnvironment.from_environ(environ)
    is_there = ci.project_dir is not None and ci.project_dir.is_dir()
    verdict = rerun_guard.check(
        ci,
        client,
        role=rerun_guard.Role.AGENT,
        mode=options.mode,
        directory=ci.project_dir if ci.project_dir is not None and is_there else checkout.root,
        environ=environ,
        shape=options.shape,
    )
    if not (is_ours and verdict.may_proceed):
        # What could not be found out matters where the coordinator does not know better.
        for note in verdict.notes:
            _say(f"guard: note: {note}")
    _say(f"guard: {verdict.message}")
    return verdict


def _environment(environ: Mapping[str, str], timeouts_s: tuple[float | None, ...]) -> dict[str, str]:
    """With the shortest of the timeouts, and of what somebody has set."""
    wanted_ms = [round(timeout_s * 1000) for timeout_s in timeouts_s if timeout_s is not None]
    given = environ.get("NX_CLOUD_AGENT_TIMEOUT_MS", "").strip()
    if given.isdecimal():
        wanted_ms.append(int(given))
    if not wanted_ms:
        return dict(environ)
    return {**environ, "NX_CLOUD_AGENT_TIMEOUT_MS": str(min(wanted_ms))}


@dataclass(frozen=True, slots=True, kw_only=True)
class _AgentJob:
    options: AgentOptions
    checkout: NxCheckout
    client: CoordinatorClient
    stopping: StopSignals
    environ: Mapping[str, str]

    def supervise(self, *, is_ours: bool) -> int:
        key = uuid.uuid4().hex
        env = {**self.checkout.environment(self.environ), MARK: key}
        command = self.checkout.nx_cloud("start-agent")
        ci = CiEnvironment.from_environ(self.environ)
        sections = SectionLog(
            write=lambda text: write_to_log(text.encode()), now=time.time, is_gitlab=ci.is_gitlab
        )
        return Supervisor(
            start=lambda: Child(command, env=env, cwd=self.checkout.root, reads_output=True),
            end_rest=lambda grace_s: end_marked(key, grace_s=grace_s),
            exit_code_of_early_end=self._mirrored if is_ours else lambda: 0,
            log=AgentLog(write=write_to_log, sections=sections, now=time.time),
            limits=self.options.limits,
            stopping=self.stopping,
            now=time.monotonic,
            sleep=time.sleep,
            say=_say,
        ).run()

    def _mirrored(self) -> int:
        """As a client of ours ends that is told to leave: 77 once something of the run has finally failed."""
        try:
            run = self.client.newest_run(timeout_s=ASK_S)
        except NxDteError:
            return 0
        return EXIT_MIRROR if run is not None and run.has_failed else 0


def _say(message: str) -> None:
    write_to_log(f"nx-dte agent: {message}\n".encode(), stream=ERRORS)

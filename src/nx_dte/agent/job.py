"""The agent job as a whole: coordinator, guard, checkout, then the supervised process."""

from __future__ import annotations

import contextlib
import sys
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nx_dte import rerun_guard
from nx_dte.agent.limits import Limits
from nx_dte.agent.reading import AgentLog
from nx_dte.agent.supervising import Supervisor
from nx_dte.client import CoordinatorClient, Presence
from nx_dte.errors import EXIT_COORDINATOR_LOST, ConfigurationError
from nx_dte.gitlab import CiEnvironment
from nx_dte.gitlab.sections import SectionLog
from nx_dte.nx_commands import find_checkout
from nx_dte.processes import MARK, Child, StopSignals, end_marked

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nx_dte.nx_commands import NxCheckout, Runner

__all__ = ["AgentOptions", "run_agent"]

PROBE_S = 10.0
MAIN_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentOptions:
    """What the command line says."""

    directory: Path
    runner: Runner | None = None
    mode: rerun_guard.Mode | None = None
    shape: rerun_guard.PipelineShape = field(default_factory=rerun_guard.PipelineShape)
    main_timeout_s: float = MAIN_TIMEOUT_S
    """How long to wait for the main job."""
    limits: Limits = field(default_factory=Limits)
    probe_s: float = PROBE_S
    """How long to wait for a coordinator that is away."""


def run_agent(options: AgentOptions, environ: Mapping[str, str]) -> int:
    """Run the agent job to its end; returns its exit code.

    Raises:
        ConfigurationError: this job cannot run Nx, or does not know its coordinator.
    """
    checkout = find_checkout(options.directory, runner=options.runner)
    client = CoordinatorClient.from_environ(environ)
    with StopSignals() as stopping:
        probe = client.probe_for(options.probe_s)
        if probe.presence is Presence.NOT_CONFIGURED:
            raise ConfigurationError(
                f"{probe.message}, so this agent does not know its coordinator. Set it to the coordinator's address"
            )
        if probe.presence in {Presence.UNREACHABLE, Presence.UNREADY}:
            _say(f"{probe.message}; an agent can do nothing without it, the main job runs its tasks itself")
            return EXIT_COORDINATOR_LOST
        if probe.is_ours and client.cloud.token is None:
            raise ConfigurationError(
                "NX_CLOUD_ACCESS_TOKEN is not set, so the coordinator will refuse this job. Make it a CI/CD variable of the "
                "project"
            )
        verdict = rerun_guard.check(
            CiEnvironment.from_environ(environ),
            client,
            role=rerun_guard.Role.AGENT,
            mode=options.mode,
            directory=checkout.root,
            environ=environ,
            shape=options.shape,
        )
        verdict = _said(verdict)
        if verdict.may_proceed and verdict.after_attempt is not None:
            with contextlib.suppress(_StoppedError):
                verdict = _said(_awaited(verdict, client, stopping))
        if stopping.received is not None:
            return stopping.exit_code
        if not verdict.may_proceed:
            return verdict.exit_code
        timeouts = [options.main_timeout_s, verdict.main_timeout_s]
        timeout_s = min(timeout for timeout in timeouts if timeout is not None)
        return _supervise(options, checkout, stopping, _environment(environ, timeout_s))


def _supervise(
    options: AgentOptions, checkout: NxCheckout, stopping: StopSignals, environ: Mapping[str, str]
) -> int:
    key = uuid.uuid4().hex
    env = {**checkout.environment(environ), MARK: key}
    command = checkout.nx_cloud("start-agent")

    def write(line: bytes) -> None:
        sys.stdout.buffer.write(line)
        sys.stdout.buffer.flush()

    sections = SectionLog(
        write=lambda text: write(text.encode()),
        now=time.time,
        is_gitlab=CiEnvironment.from_environ(environ).is_gitlab,
    )
    return Supervisor(
        start=lambda: Child(command, env=env, cwd=checkout.root, reads_output=True),
        end_rest=lambda grace_s: end_marked(key, grace_s=grace_s, asks_first=False),
        log=AgentLog(write=write, sections=sections),
        limits=options.limits,
        stopping=stopping,
        now=time.monotonic,
        sleep=time.sleep,
        say=_say,
    ).run()


def _environment(environ: Mapping[str, str], main_timeout_s: float) -> dict[str, str]:
    """An explicit NX_CLOUD_AGENT_TIMEOUT_MS wins when it is shorter."""
    given = environ.get("NX_CLOUD_AGENT_TIMEOUT_MS", "").strip()
    timeout_ms = round(main_timeout_s * 1000)
    if given.isdecimal():
        timeout_ms = min(timeout_ms, int(given))
    return {**environ, "NX_DTE_MIRROR": "1", "NX_CLOUD_AGENT_TIMEOUT_MS": str(timeout_ms)}


class _StoppedError(Exception):
    """The job was told to stop while it waited."""


def _awaited(
    verdict: rerun_guard.Verdict, client: CoordinatorClient, stopping: StopSignals
) -> rerun_guard.Verdict:
    """Where the verdict is to join a newer attempt only: what it becomes when that is there, or does not come."""

    def sleep(seconds: float) -> None:
        time.sleep(seconds)
        if stopping.received is not None:
            raise _StoppedError

    return rerun_guard.wait_for_main(verdict, client, sleep=sleep)


def _said(verdict: rerun_guard.Verdict) -> rerun_guard.Verdict:
    for note in verdict.notes:
        _say(f"guard: note: {note}")
    _say(f"guard: {verdict.message}")
    return verdict


def _say(message: str) -> None:
    sys.stdout.flush()
    sys.stderr.write(f"nx-dte agent: {message}\n")
    sys.stderr.flush()

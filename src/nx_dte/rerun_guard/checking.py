"""Gathering and deciding together, and the one thing an agent may have to wait for."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from nx_dte.errors import NxDteError
from nx_dte.rerun_guard import wording
from nx_dte.rerun_guard.decision import decide
from nx_dte.rerun_guard.gathering import gather

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from nx_dte.client import CoordinatorClient
    from nx_dte.gitlab import CiEnvironment
    from nx_dte.rerun_guard.evidence import Mode, PipelineShape, Role
    from nx_dte.rerun_guard.verdict import Verdict

__all__ = ["MAIN_TIMEOUT_S", "check", "wait_for_main"]

MAIN_TIMEOUT_S = 600.0
"""How long an agent waits for a main job that is known to come."""
LOOK_S = 2.0


def check(
    environment: CiEnvironment,
    client: CoordinatorClient,
    *,
    role: Role,
    mode: Mode | None,
    directory: Path,
    environ: Mapping[str, str],
    shape: PipelineShape | None = None,
) -> Verdict:
    """May this job start? Takes ten seconds at most and never raises; a Verdict says what to do, and why.

    `mode` None chooses: mirror where a coordinator of ours answers, strict elsewhere. A verdict for an agent may have
    `after_attempt`: then `wait_for_main` comes before joining. A main job that has found its coordinator down, and runs
    its tasks itself, needs no guard.
    """
    evidence = gather(
        environment,
        client,
        directory=directory,
        environ=environ,
        shape=shape,
    )
    return decide(evidence, role, mode)


def wait_for_main(
    verdict: Verdict,
    client: CoordinatorClient,
    *,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Verdict:
    """Where the verdict is to join a newer attempt only, wait until there is one.

    Gives a verdict without `after_attempt` and notes: to go on when it is there, and the verdict's `otherwise` after its
    `main_timeout_s`. A coordinator that is away in between is asked again.
    """
    after = verdict.after_attempt
    if after is None or not verdict.may_proceed:
        return verdict
    timeout_s = MAIN_TIMEOUT_S if verdict.main_timeout_s is None else verdict.main_timeout_s
    deadline = now() + timeout_s
    while True:
        if _has_newer_attempt(client, after):
            return replace(verdict, message=wording.newer_run(after), notes=(), after_attempt=None)
        if now() >= deadline:
            return replace(
                verdict,
                kind=verdict.otherwise,
                message=wording.no_newer_run(after, timeout_s),
                notes=(),
                after_attempt=None,
            )
        sleep(LOOK_S)


def _has_newer_attempt(client: CoordinatorClient, after: int) -> bool:
    try:
        run = client.newest_run(timeout_s=LOOK_S * 2, attempts=1)
    except NxDteError:
        return False
    return run is not None and run.attempt > after

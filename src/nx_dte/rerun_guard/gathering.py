"""Gathers the evidence: GitLab and the coordinator are asked at once, and nobody is waited for beyond one deadline."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from nx_dte.errors import CoordinatorUnreachableError, NxDteError
from nx_dte.gitlab import GitLabApi
from nx_dte.rerun_guard import recording
from nx_dte.rerun_guard.evidence import CoordinatorEvidence, Evidence, PipelineShape, RunEvidence
from nx_dte.transport import Pending, begin

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nx_dte.client import CoordinatorClient
    from nx_dte.gitlab import CiEnvironment
    from nx_dte.protocol.runs import CiRunView

__all__ = ["TIMEOUT_S", "gather", "run_evidence"]

T = TypeVar("T")

TIMEOUT_S = 8.0
"""For everything together; the promise is ten seconds."""
PROBE_SHARE = 0.75
SLACK_S = 1.0
"""Every question has its own deadline; this is for what comes of it."""


def gather(
    environment: CiEnvironment,
    client: CoordinatorClient,
    *,
    directory: Path,
    environ: Mapping[str, str],
    shape: PipelineShape | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Evidence:
    """Find out what can be found out within `timeout_s`. Never raises; what is missing is None, with a note.

    `directory` is the checkout (the guard's file is below it); `environ` holds the guard's dotenv variables.
    """
    api = GitLabApi(environment=environment)
    guard, problem = recording.read(directory, environ)
    notes = [problem] if problem and guard is None else []
    deadline = time.monotonic() + timeout_s + SLACK_S
    # Nobody waits for these when the job is told to stop meanwhile.
    own_job = begin(lambda: api.own_job(timeout_s=timeout_s))
    jobs = begin(lambda: api.pipeline_jobs(timeout_s=timeout_s))
    coordinator = begin(lambda: _ask(client, timeout_s))
    asking_job = _answer(own_job, deadline, notes)
    all_jobs = _answer(jobs, deadline, notes)
    known = _answer(coordinator, deadline, notes)
    return Evidence(
        pipeline_id=environment.pipeline_id,
        job_id=environment.job_id,
        job_name=environment.job_name,
        sha=environment.commit,
        shape=shape or PipelineShape(),
        guard=guard,
        guard_problem=problem,
        created_at=None if asking_job is None else asking_job.created_at,
        jobs=all_jobs,
        coordinator=known,
        notes=tuple(sorted(notes)),
    )


def run_evidence(view: CiRunView | None) -> RunEvidence | None:
    """What the guard wants to know of a CI run."""
    if view is None:
        return None
    return RunEvidence(
        ci_run_id=view.ci_run_id,
        attempt=view.attempt,
        state=view.state,
        outcome=view.outcome,
        agents_joined=view.agents_joined,
        agents_live=sum(agent.state.is_live for agent in view.agents),
    )


def _answer(question: Pending[T], deadline: float, notes: list[str]) -> T | None:
    """The answer, or None with a note."""
    try:
        return question.result(deadline - time.monotonic())
    except NxDteError as error:
        notes.append(error.message)
    except TimeoutError:
        notes.append("an answer came too late")
    return None


def _ask(client: CoordinatorClient, timeout_s: float) -> CoordinatorEvidence:
    """What the coordinator knows; all questions together within `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    # Two questions, and the one that counts; whoever answers quickly leaves the rest of the time to that.
    probe = client.probe(timeout_s=timeout_s * PROBE_SHARE)
    if not probe.is_ours:
        raise CoordinatorUnreachableError(probe.message)
    run = client.newest_run(timeout_s=deadline - time.monotonic(), attempts=3)
    return CoordinatorEvidence(run=run_evidence(run))

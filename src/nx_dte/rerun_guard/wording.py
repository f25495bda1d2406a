"""The guard's sentences: what is known, and what a user of GitLab can really do about it.

GitLab has no button that runs green jobs again together, so no message may ask for that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nx_dte.model.run import RunOutcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nx_dte.rerun_guard.evidence import Evidence, RunEvidence
    from nx_dte.rerun_guard.standing import RankedJob, Standing

FIRST_RUN = "First run of this job in its pipeline."
UNKNOWN = "Nothing says that this job runs again; should its agents not come, the join timeout decides."
AGENT_AGAIN = "This agent runs again; it leaves soon unless a main job comes."
NEW_PIPELINE = (
    'GitLab cannot run green jobs again together: open Build > Pipelines and press "New pipeline" '
    '(in a merge request: its Pipelines tab, "Run pipeline")'
)
_MAX_NAMED = 12


def foreign_guard(evidence: Evidence) -> str | None:
    """Whether the guard's record belongs to another pipeline or commit; None if not."""
    guard = evidence.guard
    if guard is None:
        return None
    for what, theirs, ours in (
        ("pipeline", guard.pipeline_id, evidence.pipeline_id),
        ("commit", guard.sha, evidence.sha),
    ):
        if theirs and ours and theirs != ours:
            return (
                f"The guard's record (.nx-dte/guard.json) is of {what} {theirs}, but this job is of {ours}: it came from "
                "a cache or was committed. Remove it there, and let this job need the guard job with its artifacts."
            )
    return None


def no_guard(evidence: Evidence) -> str:
    """Nothing to tell a rerun by."""
    problem = evidence.guard_problem or "the guard's record is missing"
    return (
        f"The rerun guard has nothing to go by: {problem}, GitLab's list of jobs cannot be read, and no coordinator of "
        "nx-dte answers. Let this job need the guard job (`nx-dte guard record`) with its artifacts, or set "
        "NX_DTE_GITLAB_TOKEN to a token that may read the API. NX_DTE_GUARD_MODE=off goes on without the guard."
    )


def main_again(evidence: Evidence, run: RunEvidence | None) -> str:
    """The main job runs again, its agents do not."""
    return f"Only a part of this pipeline was retried: {_how_known(evidence, run)}. {NEW_PIPELINE}."


def main_again_mirrored(evidence: Evidence, run: RunEvidence | None) -> str:
    """The same where main can do without agents."""
    return (
        f"This main job runs again: {_how_known(evidence, run)}. If no agent comes with it, it soon runs its tasks "
        "itself."
    )


def _how_known(evidence: Evidence, run: RunEvidence | None) -> str:
    number = f" (#{evidence.job_id})" if evidence.job_id else ""
    name = f"job `{evidence.job_name or 'main'}`{number}"
    if run is not None:
        agents = (
            f"its {run.agents_joined} agents have ended" if run.agents_joined else "no agent is left in it"
        )
        return (
            f"another main job before {name} has had CI run {run.ci_run_id} of pipeline "
            f"{evidence.pipeline_id} (attempt {run.attempt}, {_ending(run)}), and {agents}"
        )
    guard = evidence.guard
    if guard is None or evidence.created_at is None:
        return f"{name} is a retry"
    return (
        f"{name} was made at {evidence.created_at:%H:%M:%S}, after the guard job "
        f"#{guard.guard_job_id} had begun, so it is a retry, and its agents may have ended"
    )


def agents_ended(evidence: Evidence, standing: Standing) -> str:
    """No agent is to come."""
    ended = standing.ended_agents
    return (
        f"Only a part of this pipeline was retried: job `{evidence.job_name or 'main'}` is attempt "
        f"{standing.own_attempt or 1}, but its agents have ended ({_named(ended)}). {NEW_PIPELINE}, or retry jobs "
        f"{_ids(ended)} and then this one."
    )


def agents_are_older(evidence: Evidence, standing: Standing) -> str:
    """Agents are there, of an earlier attempt."""
    live = standing.live_agents
    oldest = min(agent.attempt for agent in live)
    return (
        f"Only a part of this pipeline was retried: job `{evidence.job_name or 'main'}` is attempt "
        f"{standing.own_attempt}, but its agents are from attempt {oldest} ({_named(live)}). {NEW_PIPELINE}, or retry "
        f"jobs {_ids(standing.agents)} and then this one."
    )


def runs_alone(standing: Standing) -> str:
    """No agent is to come, and main goes on without."""
    ended = standing.ended_agents
    return (
        f"No agent of this pipeline is still to come ({_named(ended)}): the main job runs its tasks itself. For agents, "
        f"retry jobs {_ids(ended)} first, or run a new pipeline."
    )


def agents_to_come(live: Sequence[RankedJob]) -> str:
    """Agents will come."""
    return f"Agents of this pipeline run or are to come: {_named(live)}."


def adopts(run: RunEvidence) -> str:
    """Agents are there already."""
    return f"CI run {run.ci_run_id} (attempt {run.attempt}) is open with {run.agents_live} agents: they are taken over."


def no_agents_named(evidence: Evidence) -> str:
    """The pipeline has no agents, or they are called something else."""
    return (
        f"No job of this pipeline is called `{evidence.shape.agent}`: name the agents with --agent-job or "
        "NX_DTE_AGENT_JOB, and see that their rules are those of the main job."
    )


def no_main_named(evidence: Evidence) -> str:
    """The pipeline has no main job, or it is called something else."""
    return (
        f"No job of this pipeline is called `{evidence.shape.main}`: name the main job with --main-job or "
        "NX_DTE_MAIN_JOB, and see that its rules are those of the agents."
    )


def run_waits(run: RunEvidence) -> str:
    """There is a run to join."""
    return f"CI run {run.ci_run_id} (attempt {run.attempt}) is {run.state.value}."


def waits_for_main(main: RankedJob | None) -> str:
    """There is none yet."""
    return "No main job has come yet." if main is None else f"Main job {main} is {main.job.status}."


def main_succeeded(main: RankedJob) -> str:
    """Nothing to do."""
    return f"Main job {main} has succeeded: there is nothing to do for an agent."


def main_failed(main: RankedJob) -> str:
    """Nothing to do, and both should come back together."""
    return f"Main job {main} is {main.job.status}: this agent ends as it did, so that the pipeline's Retry brings back both."


def newer_main(main: RankedJob, run: RunEvidence) -> str:
    """The run is over, and another main job is on its way."""
    return (
        f"CI run {run.ci_run_id} (attempt {run.attempt}) is over, and main job {main} is {main.job.status}."
    )


def newer_run(after_attempt: int) -> str:
    """The newer main job has come."""
    return f"A main job has opened a CI run after attempt {after_attempt}."


def perhaps_newer_main(run: RunEvidence, timeout_s: float) -> str:
    """The run has failed; a Retry may have made another main job."""
    return (
        f"CI run {run.ci_run_id} (attempt {run.attempt}) is over, {_ending(run)}: waiting up to {timeout_s:g} s for a main "
        "job that was retried, too."
    )


def run_succeeded(run: RunEvidence) -> str:
    """Nothing to do."""
    return (
        f"CI run {run.ci_run_id} (attempt {run.attempt}) has succeeded: there is nothing to do for an agent."
    )


def run_failed(run: RunEvidence) -> str:
    """Nothing to do, and both should come back together."""
    return (
        f"CI run {run.ci_run_id} (attempt {run.attempt}) has failed and no newer main job is to come: this agent ends as "
        "main did, so that the pipeline's Retry brings back both."
    )


def no_newer_run(after_attempt: int, waited_s: float) -> str:
    """Nobody came."""
    return (
        f"No main job has opened a CI run after attempt {after_attempt} within {waited_s:g} s: this agent ends as the last "
        "main job did. The pipeline's Retry brings back both; a single agent's retry does not help."
    )


def _ending(run: RunEvidence) -> str:
    if not run.state.is_over:
        return run.state.value
    return "succeeded" if run.outcome is RunOutcome.SUCCEEDED else "failed"


def _named(jobs: Sequence[RankedJob]) -> str:
    shown = [f"{ranked} {ranked.job.status}" for ranked in jobs[:_MAX_NAMED]]
    more = len(jobs) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _ids(jobs: Sequence[RankedJob]) -> str:
    return " ".join(f"#{ranked.job.job_id}" for ranked in jobs)

"""Where the jobs of a pipeline stand: who is an original, who a clone, who is still to come. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nx_dte.rerun_guard.evidence import Role

if TYPE_CHECKING:
    from nx_dte.gitlab import PipelineJob
    from nx_dte.rerun_guard.evidence import Evidence

__all__ = ["RankedJob", "Standing", "is_clone", "stand"]

# https://docs.gitlab.com/api/jobs: what is neither ended nor waits for a person
_TO_COME = frozenset(
    {
        "created",
        "waiting_for_resource",
        "waiting_for_callback",
        "preparing",
        "pending",
        "running",
        "scheduled",
    }
)
_MANUAL = "manual"


@dataclass(frozen=True, slots=True, kw_only=True)
class RankedJob:
    """The newest job of its name, and how many there have been."""

    job: PipelineJob
    attempt: int
    """1 for an original, one more for every clone."""
    is_live: bool
    """It runs, or will without anybody's help."""

    def __str__(self) -> str:
        return f"#{self.job.job_id} {self.job.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Main and agents of the pipeline, the newest of each name."""

    own_attempt: int | None
    mains: tuple[RankedJob, ...]
    agents: tuple[RankedJob, ...]

    @property
    def main(self) -> RankedJob | None:
        """The main job: a live one if there is any, else the newest."""
        return max(self.mains, key=lambda main: (main.is_live, main.job.job_id), default=None)

    @property
    def live_agents(self) -> tuple[RankedJob, ...]:
        """Agents that run or will."""
        return tuple(agent for agent in self.agents if agent.is_live)

    @property
    def ended_agents(self) -> tuple[RankedJob, ...]:
        """The others."""
        return tuple(agent for agent in self.agents if not agent.is_live)


def stand(evidence: Evidence, role: Role) -> Standing | None:
    """Sort the pipeline's jobs; None where they are not known."""
    if evidence.jobs is None:
        return None
    by_name: dict[str, list[PipelineJob]] = {}
    for job in sorted(evidence.jobs, key=lambda job: job.job_id):
        by_name.setdefault(job.name, []).append(job)
    newest = [_ranked(jobs, evidence) for jobs in by_name.values()]
    own = by_name.get(evidence.job_name or "", [])
    own_attempt = next((rank for rank, job in enumerate(own, 1) if str(job.job_id) == evidence.job_id), None)
    own_base = own[0].base_name if own else None

    def is_main(job: PipelineJob) -> bool:
        """The asking job knows itself what it is, whatever it is called."""
        if job.base_name == own_base:
            return role is Role.MAIN
        return evidence.shape.is_main(job.base_name)

    def is_agent(job: PipelineJob) -> bool:
        if job.base_name == own_base:
            return role is Role.AGENT
        return evidence.shape.is_agent(job.base_name)

    return Standing(
        own_attempt=own_attempt,
        mains=tuple(ranked for ranked in newest if is_main(ranked.job)),
        agents=tuple(ranked for ranked in newest if is_agent(ranked.job)),
    )


def is_clone(evidence: Evidence, standing: Standing | None) -> bool | None:
    """Whether the asking job was made by a retry; None where that cannot be known.

    GitLab has no attempt number. With the list of jobs it can be counted. Without, there is the order of things: what
    the pipeline was made with is older than the beginning of the guard job, and a clone is younger, because there is
    none before a job that needs the guard has run.
    """
    if standing is not None and standing.own_attempt is not None:
        return standing.own_attempt > 1
    guard = evidence.guard
    if evidence.created_at is None or guard is None or guard.guard_started_at is None:
        return None
    # CI_JOB_STARTED_AT has whole seconds, created_at finer ones: an original of the same second is no clone.
    return evidence.created_at.replace(microsecond=0) > guard.guard_started_at


def _ranked(jobs: list[PipelineJob], evidence: Evidence) -> RankedJob:
    newest = jobs[-1]
    is_live = newest.status in _TO_COME or (newest.status == _MANUAL and evidence.shape.has_lazy_agents)
    return RankedJob(job=newest, attempt=len(jobs), is_live=is_live)

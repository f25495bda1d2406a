"""The lease: an agent's time-limited right to one task attempt."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from nx_dte.model.ids import AgentId, CiRunId, InvocationId, LeaseId, TaskId, TaskKey


class LeaseState(StrEnum):
    """Where a lease is in its life."""

    LIVE = "live"
    REPORTED = "reported"
    EXPIRED = "expired"
    RELEASED = "released"
    REVOKED = "revoked"


class ReportRefusal(StrEnum):
    """Why a report changed nothing."""

    LEASE_NOT_LIVE = "lease_not_live"
    ATTEMPT_NOT_CURRENT = "attempt_not_current"
    NOT_YOUR_LEASE = "not_your_lease"
    ARTIFACT_MISSING = "artifact_missing"
    HASH_DIFFERS = "hash_differs"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Holding it is the authority to report; its attempt number fences late reports."""

    lease_id: LeaseId
    ci_run_id: CiRunId
    invocation_id: InvocationId
    task_id: TaskId
    agent_id: AgentId
    attempt: int
    runs_alone: bool = False
    """Its task's own flag: while it is live its agent gets nothing else."""
    state: LeaseState = LeaseState.LIVE
    granted_at: datetime
    expires_at: datetime
    times_out_at: datetime | None = None
    """From then on its task counts as hung; None without a task timeout."""
    slow_at: datetime | None = None
    """From then on its task runs far longer than expected, and main is told once."""
    slow_noted_at: datetime | None = None
    reported: str | None = None
    """What its accepted report said, in short: the same report again gets the same answer."""
    ended_at: datetime | None = None

    @property
    def task_key(self) -> TaskKey:
        """The task it is for."""
        return TaskKey(self.invocation_id, self.task_id)

    @property
    def is_live(self) -> bool:
        """Its agent may still report."""
        return self.state is LeaseState.LIVE

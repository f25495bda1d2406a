"""The task: project + target (+ configuration) within one invocation."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from nx_dte.model.ids import AgentId, ArtifactId, CiRunId, InvocationId, TaskHash, TaskId, TaskKey


class TaskState(StrEnum):
    """Where a task is in its life."""

    BLOCKED = "blocked"
    READY = "ready"
    LEASED = "leased"
    FINISHED = "finished"


class TaskOutcome(StrEnum):
    """How a task ended; it never changes again."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CACHED = "cached"
    SKIPPED = "skipped"
    CANCELLED = "cancelled"
    LOST = "lost"

    @property
    def is_well(self) -> bool:
        """Dependents may run."""
        return self in {TaskOutcome.SUCCEEDED, TaskOutcome.CACHED}

    @property
    def is_failure(self) -> bool:
        """Makes its invocation fail."""
        return self in {TaskOutcome.FAILED, TaskOutcome.LOST}


class FailureReason(StrEnum):
    """Why a task attempt ended other than well, or a task never began."""

    TASK_FAILED = "task_failed"
    AGENT_LOST = "agent_lost"
    AGENT_LEFT = "agent_left"
    LEASE_EXPIRED = "lease_expired"
    NEVER_RECEIVED = "never_received"
    """The agent does not know of the lease: the answer that granted it was lost."""
    MISMATCH = "mismatch"
    """The agent's workspace differs from the main job's."""
    FLAKY_RETRY = "flaky_retry"
    """It failed, but its hash is known to end either way: it gets a second try."""
    TOO_MANY_ATTEMPTS = "too_many_attempts"
    TIMED_OUT = "timed_out"
    NOT_STORED = "not_stored"
    """It ran, but there was no room for its outputs: the main job runs it itself."""
    DEPENDENCY_FAILED = "dependency_failed"
    BAILED = "bailed"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtifactRef:
    """A stored archive and how many bytes it has."""

    artifact_id: ArtifactId
    size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskResult:
    """What the main job needs to show and restore a finished task."""

    outcome: TaskOutcome
    code: int | None
    nx_status: str | None
    task_hash: TaskHash | None
    artifact: ArtifactRef | None
    outputs: tuple[str, ...]
    is_cacheable: bool
    started_at: datetime | None
    ended_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One task and where it is."""

    invocation_id: InvocationId
    ci_run_id: CiRunId
    task_id: TaskId
    project: str
    target: str
    configuration: str | None = None
    task_hash: TaskHash | None = None
    is_cacheable: bool = True
    is_noop: bool = False
    runs_alone: bool = False
    """`parallelism: false`, or not cacheable (and not a noop): only on an agent that holds nothing else."""
    outputs: tuple[str, ...] = ()
    dependencies: tuple[TaskId, ...] = ()

    state: TaskState
    outcome: TaskOutcome | None = None
    reason: FailureReason | None = None
    code: int | None = None
    nx_status: str | None = None
    artifact: ArtifactRef | None = None
    attempt: int = 1
    """The current try, or the next one while nobody holds it."""
    lost_attempts: int = 0
    failed_attempts: int = 0
    """Tries that failed and were followed by another."""
    avoid_agent_id: AgentId | None = None
    """Who failed the last try: the next one goes to another agent while there is one."""
    unfinished_dependencies: int = 0
    """Dependencies that have not ended well (yet)."""
    priority_s: float = 0.0
    """Expected seconds on the longest path from here to the end, itself included."""
    expected_s: float | None = None
    """What the task itself took before; None when nobody knows."""
    agent_id: AgentId | None = None
    """Who holds it, or ran it last."""
    agent_name: str | None = None
    ready_at: datetime | None = None
    leased_at: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None

    @property
    def key(self) -> TaskKey:
        """Unique over all invocations."""
        return TaskKey(self.invocation_id, self.task_id)

    @property
    def result(self) -> TaskResult | None:
        """Set once it is finished."""
        if self.outcome is None:
            return None
        return TaskResult(
            outcome=self.outcome,
            code=self.code,
            nx_status=self.nx_status,
            task_hash=self.task_hash,
            artifact=self.artifact,
            outputs=self.outputs,
            is_cacheable=self.is_cacheable,
            started_at=self.started_at,
            ended_at=self.ended_at,
        )

"""The events: what can happen to a CI run. Each names the slice that its decision needs."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from nx_dte.model.access import TokenAccess
from nx_dte.model.agent import LeftReason
from nx_dte.model.ids import ArtifactId, JobId, LeaseId, TaskHash, TaskId, WorkspaceId
from nx_dte.model.invocation import CancelReason


# ------------------------------------------------------------------------------------ the main job
@dataclass(frozen=True, slots=True, kw_only=True)
class RunOpened:
    """A main job said `start-ci-run` (`OpenSlice`)."""

    workspace_id: WorkspaceId
    ci_id: str
    environment: str
    job_id: JobId
    token_access: TokenAccess
    branch: str | None = None
    commit: str | None = None
    nx_version: str | None = None
    distribute_on: str | None = None
    distribute_by_default: bool = True
    stop_agents_after: tuple[str, ...] = ()
    stop_agents_on_failure: bool = True
    require_explicit_completion: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MainPinged:
    """Any request of a main job: it lives (`RunSlice`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MainLeft:
    """A main job's shell has ended (`EndSlice`)."""

    job_id: JobId
    note: str = ""
    """What the pinger saw, in its words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MainFellSilent:
    """The main job's deadline has passed; checked again in the decision (`EndSlice`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCompleted:
    """`complete-ci-run` or `stop-all-agents` (`EndSlice`)."""

    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordReported:
    """A recorded command has ended (`RecordSlice`)."""

    record_key: str
    command: str
    code: int
    terminal_output: str
    started_at: datetime
    ended_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """The main job found the task's result in a cache."""

    artifact_id: ArtifactId | None = None
    nx_status: str = "remote-cache"


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmittedTask:
    """One task as the main job describes it."""

    task_id: TaskId
    project: str
    target: str
    configuration: str | None = None
    task_hash: TaskHash | None = None
    is_cacheable: bool = True
    is_parallel: bool = True
    """Nx's `parallelism`."""
    is_noop: bool = False
    outputs: tuple[str, ...] = ()
    dependencies: tuple[TaskId, ...] = ()
    hit: Hit | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationSubmitted:
    """The main job wants one command distributed (`SubmitSlice`)."""

    invocation_key: str
    command: str
    targets: tuple[str, ...]
    configuration: str | None = None
    parallel: int = 1
    nx_bail: bool = False
    skip_nx_cache: bool = False
    task_timeout_s: float | None = None
    payload: str = ""
    """Opaque; agents get it as it is."""
    tasks: tuple[SubmittedTask, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationCancelled:
    """The main job takes an invocation back (`CancelSlice`)."""

    reason: CancelReason = CancelReason.INTERRUPTED


# ------------------------------------------------------------------------------------------ agents
@dataclass(frozen=True, slots=True, kw_only=True)
class AgentJoined:
    """A process asks to be an agent of the newest run of its pipeline (`JoinSlice`)."""

    agent_key: str
    name: str
    token_access: TokenAccess
    instance: str | None = None
    kind: str | None = None
    job_id: JobId | None = None
    commit: str | None = None
    nx_version: str | None = None
    is_main: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TasksClaimed:
    """An agent asks for work (`ClaimSlice`)."""

    holding: frozenset[LeaseId] = frozenset()
    """What it believes to hold."""
    slots: int | None = None
    """Its free slots; without it, the invocation's `parallel` less what it holds."""
    is_sign_of_life: bool = True
    """False where the coordinator looks again on behalf of a claim it still holds: the agent may be gone by then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentHeartbeat:
    """An agent lives and renews its leases (`HeartbeatSlice`)."""

    holding: frozenset[LeaseId] = frozenset()


class ReportOutcome(StrEnum):
    """What an agent may say about a task."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    NOT_STORED = "not_stored"
    """Its outputs found no room; how the task itself ended is of no use to anybody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskReported:
    """An agent states the end of a task attempt (`ReportSlice`). One event for each report of a bundle."""

    lease_id: LeaseId
    attempt: int
    outcome: ReportOutcome
    code: int
    token_access: TokenAccess
    """Of the token that the report came with."""
    task_hash: TaskHash | None = None
    nx_status: str | None = None
    artifact_id: ArtifactId | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    message: str | None = None
    """Why, where the task itself could not say: it was not even started, or its outputs could not be kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseExpired:
    """A lease's deadline has passed; checked again in the decision (`ReapSlice`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskTimedOut:
    """A task is held for longer than its invocation allows; checked again in the decision (`ReapSlice`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRanLong:
    """A task is held for far longer than expected; checked again in the decision (`ReapSlice`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentLeft:
    """An agent says goodbye (`GoneSlice`)."""

    reason: LeftReason = LeftReason.OTHER
    message: str | None = None
    """What exactly made it leave, in its words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFellSilent:
    """An agent's deadline has passed; checked again in the decision (`GoneSlice`)."""


Event = (
    RunOpened
    | MainPinged
    | MainLeft
    | MainFellSilent
    | RunCompleted
    | RecordReported
    | InvocationSubmitted
    | InvocationCancelled
    | AgentJoined
    | TasksClaimed
    | AgentHeartbeat
    | TaskReported
    | LeaseExpired
    | TaskTimedOut
    | TaskRanLong
    | AgentLeft
    | AgentFellSilent
)

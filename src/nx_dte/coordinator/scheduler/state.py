"""The slices: what the store loads for one event. Each is O(degree) of what the event touches.

A slice is loaded and its decision persisted in one transaction that holds the CI run's row lock. Unless said otherwise,
an id that is not there makes the engine answer 404 before it asks for a decision.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from nx_dte.model.agent import Agent
from nx_dte.model.artifact import Artifact
from nx_dte.model.duration import Durations
from nx_dte.model.ids import ArtifactId, TaskKey
from nx_dte.model.invocation import Invocation
from nx_dte.model.lease import Lease
from nx_dte.model.record import Record
from nx_dte.model.run import CiRun, MainJob
from nx_dte.model.task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationWork:
    """A running invocation with all that is unfinished in it."""

    invocation: Invocation
    unfinished: tuple[Task, ...]
    """Its tasks that are blocked, ready or leased."""
    live_leases: tuple[Lease, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenSlice:
    """For `RunOpened`."""

    newest: CiRun | None
    """The newest attempt with the event's workspace, CI id and environment."""
    is_job_seen: bool
    """The job id is known as a main job of *any* attempt of that key with the event's token access."""
    untrusted_work: tuple[InvocationWork, ...] = ()
    """Of every running invocation of `newest`, if that is live, untrusted, and the event is trusted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSlice:
    """For `MainPinged`."""

    run: CiRun


@dataclass(frozen=True, slots=True, kw_only=True)
class EndSlice:
    """For `MainLeft`, `MainFellSilent`, `RunCompleted`: the run may end."""

    run: CiRun
    work: tuple[InvocationWork, ...]
    """Of every running invocation. `RunCompleted` needs none: leave it empty."""
    main_jobs: tuple[MainJob, ...] = ()
    """The run's main jobs; needed for `MainLeft` only."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSlice:
    """For `RecordReported`."""

    run: CiRun
    existing: Record | None
    """The record with the event's key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitSlice:
    """For `InvocationSubmitted`."""

    run: CiRun
    existing: Invocation | None
    """The invocation with the event's key."""
    durations: Durations = field(default_factory=Durations)
    artifacts: Mapping[ArtifactId, Artifact] = field(default_factory=dict)
    """Those of the workspace that the event's hits name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelSlice:
    """For `InvocationCancelled`; of an invocation that no longer runs, `work` holds only itself."""

    run: CiRun
    work: InvocationWork


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinSlice:
    """For `AgentJoined`."""

    newest: CiRun | None
    """The newest attempt with the event's workspace, CI id and environment."""
    existing: Agent | None
    """That run's agent with the event's key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldTask:
    """A live lease with what its end touches."""

    lease: Lease
    task: Task
    invocation: Invocation
    doomed: tuple[Task, ...] = ()
    """What would be skipped if the task could not be tried again: see `ReportSlice.doomed`. Always needed for
    `TaskTimedOut`; else it may be left empty when `task.lost_attempts + 1 < limits.max_lost_attempts` and
    `task.attempt < limits.max_attempts`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimSlice:
    """For `TasksClaimed`."""

    run: CiRun
    agent: Agent
    held: tuple[HeldTask, ...]
    """All live leases of the agent. Only those that the agent says it does not hold need their task's `doomed`."""
    invocations: tuple[Invocation, ...]
    """Every running invocation of the run."""
    candidates: tuple[Task, ...]
    """For each of these invocations that has not bailed: the first `policy.CANDIDATES` ready tasks that do not run
    alone and the first `policy.CANDIDATES` that do, by (priority_s descending, task_id)."""
    held_bytes: Mapping[TaskKey, int] = field(default_factory=dict)
    """Per candidate: the bytes of direct dependencies' artifacts which this very agent made. Only breaks ties."""
    has_peer: bool = False
    """Another agent of the run could take a task (`policy.AT_WORK`). Needed when this agent is the `avoid_agent_id`
    of a candidate or of a held task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatSlice:
    """For `AgentHeartbeat`."""

    run: CiRun
    agent: Agent
    live_leases: tuple[Lease, ...]
    """All live leases of the agent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportSlice:
    """For `TaskReported`."""

    run: CiRun
    agent: Agent
    """Who reports."""
    lease: Lease | None
    """The lease the event names, if it is of this run."""
    task: Task | None
    invocation: Invocation | None
    dependents: tuple[Task, ...] = ()
    """Direct dependents; needed when the outcome is succeeded."""
    doomed: tuple[Task, ...] = ()
    """Needed unless the outcome is succeeded. Unless the invocation has `nx_bail`: all transitive dependents that are
    not finished. With it: every task of the invocation that is blocked or ready."""
    is_known_flaky: bool = False
    """The task's hash (the reported one, if main could not tell) has both failed and succeeded before. Needed when the
    outcome is failed."""
    artifact: Artifact | None = None
    """The workspace's artifact with the id that the event names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReapSlice:
    """For `LeaseExpired`, `TaskTimedOut` and `TaskRanLong`."""

    run: CiRun
    agent: Agent
    held: HeldTask


@dataclass(frozen=True, slots=True, kw_only=True)
class GoneSlice:
    """For `AgentLeft` and `AgentFellSilent`."""

    run: CiRun
    agent: Agent
    held: tuple[HeldTask, ...]
    """All live leases of the agent. The `doomed` of several may overlap."""


Slice = (
    OpenSlice
    | RunSlice
    | EndSlice
    | RecordSlice
    | SubmitSlice
    | CancelSlice
    | JoinSlice
    | ClaimSlice
    | HeartbeatSlice
    | ReportSlice
    | ReapSlice
    | GoneSlice
)

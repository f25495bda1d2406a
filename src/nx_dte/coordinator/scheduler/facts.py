"""The facts: what one decision changes, as whole new values. The store writes them in the order given.

At most one fact per row: `…Added` holds the row's final value of this decision. A lease that ends and the one that
replaces it come in that order, so a unique index on live leases never sees two.
"""

from dataclasses import dataclass

from nx_dte.model.agent import Agent
from nx_dte.model.cache_entry import CacheEntry
from nx_dte.model.duration import DurationKey
from nx_dte.model.event import Event
from nx_dte.model.ids import InvocationId, TaskHash, WorkspaceId
from nx_dte.model.invocation import Invocation
from nx_dte.model.lease import Lease
from nx_dte.model.record import Record
from nx_dte.model.run import CiRun, MainJob
from nx_dte.model.task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAdded:
    """Insert."""

    run: CiRun


@dataclass(frozen=True, slots=True, kw_only=True)
class RunChanged:
    """Update."""

    run: CiRun


@dataclass(frozen=True, slots=True, kw_only=True)
class MainJobChanged:
    """Insert or update by (run, job)."""

    main_job: MainJob


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordAdded:
    """Insert."""

    record: Record


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationAdded:
    """Insert."""

    invocation: Invocation


@dataclass(frozen=True, slots=True, kw_only=True)
class PayloadAdded:
    """Insert."""

    invocation_id: InvocationId
    payload: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationChanged:
    """Update."""

    invocation: Invocation


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskAdded:
    """Insert, with an edge for each of its dependencies."""

    task: Task


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskChanged:
    """Update; its dependencies never change."""

    task: Task


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentAdded:
    """Insert."""

    agent: Agent


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentChanged:
    """Update."""

    agent: Agent


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseGranted:
    """Insert."""

    lease: Lease


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseChanged:
    """Update."""

    lease: Lease


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheEntryAdded:
    """Insert unless there is one for the same workspace, scope and hash: entries are written once."""

    entry: CacheEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class DurationLearned:
    """Update what is remembered of the task's duration; how to average is the store's choice."""

    workspace_id: WorkspaceId
    key: DurationKey
    duration_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class HashOutcomeLearned:
    """Remember that a task of this hash has ended so, beside what is remembered of it already."""

    workspace_id: WorkspaceId
    task_hash: TaskHash
    is_success: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EventAppended:
    """Insert into history."""

    event: Event


Fact = (
    RunAdded
    | RunChanged
    | MainJobChanged
    | RecordAdded
    | InvocationAdded
    | PayloadAdded
    | InvocationChanged
    | TaskAdded
    | TaskChanged
    | AgentAdded
    | AgentChanged
    | LeaseGranted
    | LeaseChanged
    | CacheEntryAdded
    | DurationLearned
    | HashOutcomeLearned
    | EventAppended
)

"""The event as history: one row for every transition, appended and never changed."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from nx_dte.model.ids import AgentId, CiRunId, InvocationId, LeaseId, TaskId
from nx_dte.model.task import TaskResult


class EventKind(StrEnum):
    """What happened."""

    CI_RUN_OPENED = "ci_run_opened"
    CI_RUN_STOPPING = "ci_run_stopping"
    CI_RUN_FINISHED = "ci_run_finished"
    CI_RUN_ABANDONED = "ci_run_abandoned"
    MAIN_JOINED = "main_joined"
    MAIN_LEFT = "main_left"
    RECORD_ADDED = "record_added"
    INVOCATION_SUBMITTED = "invocation_submitted"
    INVOCATION_FINISHED = "invocation_finished"
    AGENT_JOINED = "agent_joined"
    AGENT_DRAINING = "agent_draining"
    AGENT_LEFT = "agent_left"
    AGENT_LOST = "agent_lost"
    TASK_READY = "task_ready"
    TASK_LEASED = "task_leased"
    TASK_SLOW = "task_slow"
    TASK_REQUEUED = "task_requeued"
    TASK_FINISHED = "task_finished"
    REPORT_REFUSED = "report_refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Sequence numbers of one CI run are contiguous from 1; `message` is a sentence fit for main's log."""

    ci_run_id: CiRunId
    sequence: int
    at: datetime
    kind: EventKind
    message: str
    reason: str | None = None
    """A member of one of the closed reason enums."""
    invocation_id: InvocationId | None = None
    task_id: TaskId | None = None
    attempt: int | None = None
    agent_id: AgentId | None = None
    agent_name: str | None = None
    lease_id: LeaseId | None = None
    result: TaskResult | None = None

"""The invocation: one `nx …` command inside a CI run, with its own task graph."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from nx_dte.model.ids import CiRunId, InvocationId
from nx_dte.model.run import RunOutcome


class InvocationState(StrEnum):
    """Where an invocation is in its life."""

    RUNNING = "running"
    FINISHED = "finished"
    CANCELLED = "cancelled"


class CancelReason(StrEnum):
    """Why an invocation was cancelled."""

    INTERRUPTED = "interrupted"
    """The command was interrupted on the main job."""
    TAKEN_BACK = "taken_back"
    """The main job goes on alone and runs the tasks itself."""
    MAIN_LEFT = "main_left"
    MAIN_SILENT = "main_silent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """One command; its counters make every decision about it cheap."""

    invocation_id: InvocationId
    ci_run_id: CiRunId
    invocation_key: str
    command: str
    targets: tuple[str, ...]
    """The targets the command asked for, not those of its tasks."""
    configuration: str | None = None
    parallel: int = 1
    """Slots of each agent."""
    nx_bail: bool = False
    skip_nx_cache: bool = False
    task_timeout_s: float | None = None
    """How long an agent may hold one of its tasks; None for as long as it takes."""

    state: InvocationState = InvocationState.RUNNING
    outcome: RunOutcome | None = None
    """None while it runs, and when it ended with tasks that only the main job knows the end of."""
    cancel_reason: CancelReason | None = None
    has_bailed: bool = False
    """`nx_bail` met its first failure: nothing more is handed out."""
    tasks_total: int = 0
    tasks_unfinished: int = 0
    tasks_failed: int = 0
    """Outcome failed or lost."""
    tasks_cancelled: int = 0
    """Outcome cancelled: the main job runs them itself, if anybody does."""
    live_leases: int = 0
    submitted_sequence: int = 0
    """The run's sequence number of its `invocation_submitted` event: follow from there."""

    created_at: datetime
    ended_at: datetime | None = None

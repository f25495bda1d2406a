"""Messages about tasks and events."""

from __future__ import annotations

from nx_dte.model.event import EventKind
from nx_dte.model.invocation import InvocationState
from nx_dte.model.run import CiRunState
from nx_dte.model.task import TaskOutcome, TaskState
from nx_dte.protocol.base import ArtifactRef, Time, WireModel


class ResultView(WireModel):
    """How a task ended."""

    outcome: TaskOutcome
    code: int | None
    nx_status: str | None
    hash: str | None
    artifact: ArtifactRef | None
    outputs: tuple[str, ...]
    cacheable: bool
    started_at: Time | None
    ended_at: Time | None


class EventView(WireModel):
    """One thing that happened in a CI run; `message` is a sentence for main's log."""

    sequence: int
    at: Time
    kind: EventKind
    invocation_id: str | None
    task_id: str | None
    attempt: int | None
    agent_id: str | None
    agent_name: str | None
    lease_id: str | None
    reason: str | None
    message: str | None
    result: ResultView | None


class InvocationProgress(WireModel):
    """How far an invocation is."""

    state: InvocationState
    outcome: str | None
    tasks_total: int
    tasks_finished: int
    agents_live: int


class EventsAnswer(WireModel):
    """Events after a sequence number, and where things stand."""

    events: tuple[EventView, ...]
    sequence: int
    ci_run_state: CiRunState
    invocation: InvocationProgress | None


class TaskView(WireModel):
    """A task."""

    invocation_id: str
    task_id: str
    project: str
    target: str
    configuration: str | None
    state: TaskState
    outcome: TaskOutcome | None
    code: int | None
    nx_status: str | None
    hash: str | None
    attempt: int
    agent_id: str | None
    agent_name: str | None
    dependencies: tuple[str, ...]
    priority_s: float
    expected_s: float | None
    ready_at: Time | None
    started_at: Time | None
    ended_at: Time | None
    artifact: ArtifactRef | None


class TasksAnswer(WireModel):
    """All tasks of a CI run."""

    tasks: tuple[TaskView, ...]


class StoryAnswer(WireModel):
    """Why a task is where it is."""

    task: TaskView
    why: str
    events: tuple[EventView, ...]

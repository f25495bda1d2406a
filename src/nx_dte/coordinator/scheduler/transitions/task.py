"""The task: made ready, finished, and what its end means for those that depend on it."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime

from nx_dte.coordinator.scheduler.draft import Draft
from nx_dte.coordinator.scheduler.effects import Counter, Histogram
from nx_dte.model.event import EventKind
from nx_dte.model.ids import TaskId
from nx_dte.model.lease import Lease
from nx_dte.model.task import FailureReason, Task, TaskOutcome, TaskState


def finish(draft: Draft, task: Task, *, message: str, lease: Lease | None = None) -> None:
    """Give a task its outcome (set in `task`, with whatever else its end brought), and count it."""
    outcome = task.outcome
    if outcome is None:
        raise AssertionError(f"Task {task.task_id} was to be finished without an outcome.")
    ended_at = task.ended_at or draft.now
    done = replace(task, state=TaskState.FINISHED, ended_at=ended_at)
    draft.put_task(done)
    invocation = draft.invocation_of(task)
    draft.put_invocation(
        replace(
            invocation,
            tasks_unfinished=invocation.tasks_unfinished - 1,
            tasks_failed=invocation.tasks_failed + outcome.is_failure,
            tasks_cancelled=invocation.tasks_cancelled + (outcome is TaskOutcome.CANCELLED),
        )
    )
    reason = task.reason.value if task.reason else None
    draft.tell(EventKind.TASK_FINISHED, message, reason=reason, task=done, lease=lease)
    draft.effects.count(Counter.TASKS, target=task.target, outcome=outcome.value)
    if lease is not None and done.started_at is not None:
        duration_s = (ended_at - done.started_at).total_seconds()
        draft.effects.observe(Histogram.TASK_DURATION, duration_s, target=task.target)


def unblock(draft: Draft, dependents: Iterable[Task]) -> None:
    """One dependency of each has ended well."""
    for task in dependents:
        if task.state is not TaskState.BLOCKED:
            continue
        missing = task.unfinished_dependencies - 1
        if missing:
            draft.put_task(replace(task, unfinished_dependencies=missing))
            continue
        ready = replace(task, unfinished_dependencies=0, state=TaskState.READY, ready_at=draft.now)
        draft.put_task(ready)
        draft.tell(
            EventKind.TASK_READY, f"{task.task_id} is ready: all its dependencies ended well.", task=ready
        )
        draft.wake_agents()


def failure_spreads(draft: Draft, failed: Task, doomed: Iterable[Task]) -> None:
    """Skip what can no longer run: the dependents, or with `nx_bail` all that has not begun."""
    invocation = draft.invocation_of(failed)
    reason, because = FailureReason.DEPENDENCY_FAILED, f"{failed.task_id} did not end well"
    if invocation.nx_bail:
        reason, because = FailureReason.BAILED, f"the command stops at its first failure, {failed.task_id}"
        draft.put_invocation(replace(invocation, has_bailed=True))
        # Also what this very decision has put back into the queue, which the slice could not list.
        doomed = (task for task in draft.tasks.values() if task.invocation_id == failed.invocation_id)
    for loaded in doomed:
        task = draft.tasks.get(loaded.key)
        if task.state in {TaskState.BLOCKED, TaskState.READY} and task.key != failed.key:
            skipped = replace(task, outcome=TaskOutcome.SKIPPED, reason=reason)
            finish(draft, skipped, message=f"{task.task_id} is skipped, because {because}.")


def leave_to_main(
    draft: Draft,
    task: Task,
    doomed: Iterable[Task],
    *,
    reason: FailureReason,
    message: str,
    lease: Lease | None = None,
) -> None:
    """No agent can do it, though it did not fail: the main job runs it, and all that depends on it, by itself."""
    finish(draft, replace(task, outcome=TaskOutcome.CANCELLED, reason=reason), message=message, lease=lease)
    for dependent in _depending_on(task, doomed):
        current = draft.tasks.get(dependent.key)
        if current.state is TaskState.BLOCKED:
            because = f"{current.task_id} is left to the main job, because {task.task_id} is."
            cancelled = replace(current, outcome=TaskOutcome.CANCELLED, reason=reason)
            finish(draft, cancelled, message=because)


def _depending_on(task: Task, among: Iterable[Task]) -> Iterator[Task]:
    """Those that depend on the task directly or not: with `nx_bail`, a slice lists others as well."""
    dependents = _dependents(among)
    reached, todo = {task.task_id}, [task.task_id]
    while todo:
        for dependent in dependents.get(todo.pop(), ()):
            if dependent.task_id not in reached:
                reached.add(dependent.task_id)
                todo.append(dependent.task_id)
                yield dependent


def _dependents(among: Iterable[Task]) -> dict[TaskId, list[Task]]:
    found: dict[TaskId, list[Task]] = {}
    for task in among:
        for dependency in task.dependencies:
            found.setdefault(dependency, []).append(task)
    return found


def seconds_between(started_at: datetime | None, ended_at: datetime | None) -> float:
    """Clocks of other machines may jump: never less than zero."""
    if started_at is None or ended_at is None:
        return 0.0
    return max(0.0, (ended_at - started_at).total_seconds())

"""Why is this task where it is? One sentence, from the rows alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

from nx_dte.model.task import FailureReason, TaskOutcome, TaskState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nx_dte.model.invocation import Invocation
    from nx_dte.model.run import CiRun
    from nx_dte.model.task import Task

SHOWN = 3


def why(task: Task, invocation: Invocation, run: CiRun, dependencies: Sequence[Task]) -> str:
    """The sentence."""
    match task.state:
        case TaskState.BLOCKED:
            waits = [
                f"{other.task_id} ({other.state.value})" for other in dependencies if not _ended_well(other)
            ]
            return f"{task.task_id} is blocked: it waits for {_some(waits)}."
        case TaskState.READY:
            return _why_ready(task, invocation, run)
        case TaskState.LEASED:
            return f"{task.task_id} is leased: agent {task.agent_name} runs attempt {task.attempt}."
        case TaskState.FINISHED:
            return _why_finished(task, dependencies)
        case _:
            assert_never(task.state)


def _why_ready(task: Task, invocation: Invocation, run: CiRun) -> str:
    start = f"{task.task_id} is ready for attempt {task.attempt}"
    if task.attempt > 1:
        start += f" (attempt {task.attempt - 1} did not end{_reason(task)})"
    if run.state != "open":
        return f"{start}, but the CI run is {run.state.value}{'' if run.reason is None else f': {run.reason.value}'}."
    if invocation.has_bailed:
        return f"{start}, but its invocation has bailed and hands out nothing more."
    alone = " that holds nothing else, because it runs alone" if task.runs_alone else ""
    return f"{start}: it waits for an agent with a free slot{alone}."


def _why_finished(  # noqa: PLR0911 - one sentence an outcome
    task: Task, dependencies: Sequence[Task]
) -> str:
    outcome = task.outcome
    ran = f"attempt {task.attempt} on agent {task.agent_name}"
    match outcome:
        case TaskOutcome.SUCCEEDED:
            return f"{task.task_id} succeeded: {ran} ended with code {task.code}."
        case TaskOutcome.FAILED:
            is_hung = task.reason is FailureReason.TIMED_OUT
            how = "took longer than the task timeout allows" if is_hung else f"ended with code {task.code}"
            return f"{task.task_id} failed: {ran} {how}."
        case TaskOutcome.CACHED:
            return f"{task.task_id} was a cache hit ({task.nx_status}) when its invocation was submitted."
        case TaskOutcome.SKIPPED:
            bad = [
                f"{other.task_id} ({other.outcome.value})"
                for other in dependencies
                if other.outcome is not None and not other.outcome.is_well
            ]
            if task.reason is FailureReason.BAILED or not bad:
                return f"{task.task_id} was skipped{_reason(task)}."
            return f"{task.task_id} was skipped: {_some(bad)} did not end well."
        case TaskOutcome.CANCELLED:
            if task.reason is FailureReason.CANCELLED:
                return f"{task.task_id} was cancelled with its invocation."
            return f"{task.task_id} was left to the main job{_reason(task)}."
        case TaskOutcome.LOST:
            return (
                f"{task.task_id} was given up: the agents that ran it were lost {task.lost_attempts} times."
            )
        case None:
            return f"{task.task_id} is finished."
        case _:
            assert_never(outcome)


def _ended_well(task: Task) -> bool:
    return task.outcome is not None and task.outcome.is_well


def _reason(task: Task) -> str:
    return "" if task.reason is None else f": {task.reason.value.replace('_', ' ')}"


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown or "nothing"

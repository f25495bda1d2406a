"""Everything that summary and JUnit report are made of. Values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nx_dte.model.task import TaskOutcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nx_dte.protocol.runs import CiRunView
    from nx_dte.protocol.tasks import TaskView

__all__ = ["RunReport", "final_tasks", "has_run", "how_it_failed", "run_s"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """A CI run as its main job leaves it."""

    run: CiRunView
    tasks: tuple[TaskView, ...]
    """One for each task, whatever the number of commands and attempts."""
    exit_code: int
    """Of the main job: it alone knows how what was left to it ended."""
    failed_steps: tuple[str, ...] = ()
    """A sentence for each record or command of the main job that failed, in order."""
    outputs: Mapping[str, str] = field(default_factory=dict)
    """Task → what it printed; of failed tasks, as far as it could be had."""
    roots: Mapping[str, str] = field(default_factory=dict)
    """Project → its folder, from the workspace's root on."""
    nx: str = "nx"
    """How `nx` is called in this workspace, for lines to copy."""
    url: str | None = None
    """The coordinator's address."""

    @property
    def failed(self) -> tuple[TaskView, ...]:
        """Tasks that failed or were lost."""
        return tuple(task for task in self.tasks if task.outcome is not None and task.outcome.is_failure)

    @property
    def tasks_command(self) -> str | None:
        """A line to copy that asks the coordinator for all tasks of the run; None where there is no address."""
        if self.url is None:
            return None
        address = f"{self.url}/api/v1/ci-runs/{self.run.ci_run_id}/tasks"
        return f'curl -H "authorization: $NX_CLOUD_ACCESS_TOKEN" {address}'


def final_tasks(tasks: Iterable[TaskView]) -> tuple[TaskView, ...]:
    """Each task once. A task of several commands shows its last end, but a failure is not hidden by a later hit."""
    chosen: dict[str, TaskView] = {}
    for task in tasks:
        known = chosen.get(task.task_id)
        is_known_failure = known is not None and known.outcome is not None and known.outcome.is_failure
        is_failure = task.outcome is not None and task.outcome.is_failure
        if known is None or is_failure or not is_known_failure:
            chosen[task.task_id] = task
    return tuple(chosen[task_id] for task_id in sorted(chosen))


def has_run(task: TaskView) -> bool:
    """Whether an agent has run it to its end."""
    return task.outcome in {TaskOutcome.SUCCEEDED, TaskOutcome.FAILED}


def run_s(task: TaskView) -> float:
    """How long its last attempt ran; nothing for hits and for what never ran."""
    if not has_run(task) or task.started_at is None or task.ended_at is None:
        return 0.0
    return max(0.0, (task.ended_at - task.started_at).total_seconds())


def how_it_failed(task: TaskView) -> str:
    """A few words on a failed task: its exit code, and where."""
    if task.outcome is TaskOutcome.LOST:
        return f"the agents that ran it were lost, {task.attempt} in all"
    code = "failed" if task.code is None else f"exit code {task.code}"
    return code + (f" on {task.agent_name}" if task.agent_name else "")

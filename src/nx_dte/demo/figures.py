"""What a run's times say: the work, the longest path, the bound no distribution can beat. Pure."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["TaskRun", "critical_path", "lower_bound_s", "span_s", "tasks_per_agent", "work_s"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRun:
    """One task as it was run: by whom, when, after which others."""

    task_id: str
    agent: str | None
    started_at: float
    ended_at: float
    dependencies: tuple[str, ...] = ()

    @property
    def duration_s(self) -> float:
        """How long it ran."""
        return self.ended_at - self.started_at


def work_s(runs: Iterable[TaskRun]) -> float:
    """The seconds of all tasks together."""
    return sum(run.duration_s for run in runs)


def span_s(runs: Sequence[TaskRun]) -> float:
    """From the first task's start to the last one's end."""
    if not runs:
        return 0.0
    return max(run.ended_at for run in runs) - min(run.started_at for run in runs)


def critical_path(runs: Iterable[TaskRun]) -> tuple[TaskRun, ...]:
    """The chain of dependent tasks that takes longest, first task first. The graph has no cycles."""
    by_id = {run.task_id: run for run in runs}

    @cache
    def longest_to(task_id: str) -> tuple[float, tuple[str, ...]]:
        run = by_id[task_id]
        before = [longest_to(name) for name in run.dependencies if name in by_id]
        seconds, path = max(before, default=(0.0, ()))
        return seconds + run.duration_s, (*path, task_id)

    _, path = max((longest_to(task_id) for task_id in by_id), default=(0.0, ()))
    return tuple(by_id[task_id] for task_id in path)


def lower_bound_s(runs: Sequence[TaskRun], *, slots: int) -> float:
    """max(critical path, work ÷ slots): no schedule of these tasks on these slots ends sooner."""
    if slots < 1:
        raise ValueError(f"a bound needs at least one slot, not {slots}")
    return max(work_s(critical_path(runs)), work_s(runs) / slots)


def tasks_per_agent(runs: Iterable[TaskRun]) -> dict[str, int]:
    """How many tasks each agent ran, by its name, in the order of the names."""
    counts = Counter(run.agent or "main" for run in runs)
    return dict(sorted(counts.items()))

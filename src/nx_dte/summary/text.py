"""The last lines of the main job's log: at most 25 of them. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from nx_dte.model.task import TaskOutcome
from nx_dte.summary.output import first_error_line
from nx_dte.summary.report import has_run, how_it_failed, run_s

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from nx_dte.protocol.tasks import TaskView
    from nx_dte.summary.report import RunReport

__all__ = ["MAX_LINES", "summary_lines"]

MAX_LINES = 25
MAX_STEPS = 3
MAX_FAILED = 4
"""With three lines for each, the summary stays within its limit."""
MAX_NAMED = 8
_CACHE_STATUSES = frozenset({"local-cache", "local-cache-kept-existing", "remote-cache"})
_WORDS = {
    TaskOutcome.SUCCEEDED: "succeeded",
    TaskOutcome.FAILED: "failed",
    TaskOutcome.LOST: "lost with their agents",
    TaskOutcome.CACHED: "from the cache",
    TaskOutcome.SKIPPED: "skipped",
    TaskOutcome.CANCELLED: "left to this job or cancelled",
}


def summary_lines(report: RunReport) -> list[str]:
    """Verdict, counts, times, what failed with its first error and the line that runs it again, where to look."""
    run = report.run
    verdict = "succeeded" if report.exit_code == 0 else f"failed with exit code {report.exit_code}"
    lines = [f"nx-dte: {verdict} · CI run {run.ci_run_id} (pipeline {run.ci_id}, attempt {run.attempt})"]
    lines += [f"  tasks    {_counts(report.tasks)}", f"  agents   {_agents(report)}"]
    for name, value in (
        ("cache", _hits(report.tasks)),
        ("time", _times(report.tasks)),
        ("retried", _repeated(report.tasks)),
    ):
        if value:
            lines.append(f"  {name:7}  {value}")
    lines += _shortened([f"  FAILED   {step}" for step in report.failed_steps], MAX_STEPS, "steps")
    lines += _failed_tasks(report)
    if report.tasks and report.tasks_command is not None:
        lines.append(f"  more     {report.tasks_command}")
    return lines[:MAX_LINES]


def _counts(tasks: Sequence[TaskView]) -> str:
    if not tasks:
        return "none were distributed"
    counts = Counter(task.outcome for task in tasks)
    parts = [f"{counts[outcome]} {words}" for outcome, words in _WORDS.items() if counts[outcome]]
    if counts[None]:
        parts.append(f"{counts[None]} not finished")
    return f"{len(tasks)}: {', '.join(parts)}"


def _agents(report: RunReport) -> str:
    busy = Counter(task.agent_name for task in report.tasks if task.agent_name is not None and has_run(task))
    if not report.run.agents_joined and not busy:
        return "none joined"
    ran = _named(f"{name} {count}" for name, count in sorted(busy.items()))
    return f"{report.run.agents_joined} joined" + (f"; tasks run: {ran}" if ran else "")


def _hits(tasks: Sequence[TaskView]) -> str:
    """What main found when it submitted, and what agents found when they began."""
    on_main = sum(task.outcome is TaskOutcome.CACHED for task in tasks)
    on_agents = sum(has_run(task) and task.nx_status in _CACHE_STATUSES for task in tasks)
    if not on_main + on_agents:
        return ""
    where = f"; {on_agents} of them were found by an agent" if on_agents else ""
    return f"{on_main + on_agents} of {len(tasks)} tasks were hits{where}"


def _times(tasks: Sequence[TaskView]) -> str:
    """Against one machine that runs the same tasks one after the other: that much is known without guessing."""
    began = [task.started_at for task in tasks if has_run(task) and task.started_at is not None]
    ended = [task.ended_at for task in tasks if has_run(task) and task.ended_at is not None]
    if not began or not ended:
        return ""
    span_s = (max(ended) - min(began)).total_seconds()
    work_s = sum(run_s(task) for task in tasks)
    factor = f": {work_s / span_s:.1f} times as fast" if 0 < span_s < work_s else ""
    return f"{_spoken(span_s)}; one machine, a task at a time, takes {_spoken(work_s)}{factor}"


def _repeated(tasks: Sequence[TaskView]) -> str:
    """Lost agents and flaky tasks show here, also when all ended well."""
    return _named(f"{task.task_id} ({task.attempt} attempts)" for task in tasks if task.attempt > 1)


def _failed_tasks(report: RunReport) -> list[str]:
    shown = report.failed[:MAX_FAILED]
    lines = []
    for task in shown:
        lines.append(f"  FAILED   {task.task_id} ({how_it_failed(task)})")
        error = first_error_line(report.outputs.get(task.task_id, ""))
        if error:
            lines.append(f"           {error}")
    if len(report.failed) > len(shown):
        lines.append(f"           … and {len(report.failed) - len(shown)} more tasks")
    lines += [f"  again    {report.nx} run {task.task_id}" for task in shown]
    return lines


def _shortened(lines: list[str], limit: int, what: str) -> list[str]:
    left = len(lines) - limit
    return lines if left <= 0 else [*lines[:limit], f"           … and {left} more {what}"]


def _named(names: Iterable[str]) -> str:
    known = list(names)
    left = len(known) - MAX_NAMED
    return ", ".join(known[:MAX_NAMED]) + (f" and {left} more" if left > 0 else "")


def _spoken(seconds: float) -> str:
    if seconds < 60:  # noqa: PLR2004  # a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} m {rest} s" if hours else f"{minutes} m {rest} s"

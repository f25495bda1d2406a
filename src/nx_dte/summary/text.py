"""The last lines of the main job's log: at most 25 of them. Pure."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from nx_dte.model.task import TaskOutcome
from nx_dte.summary.output import first_error_line
from nx_dte.summary.report import duration_s

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nx_dte.protocol.tasks import TaskView
    from nx_dte.summary.report import RunReport

__all__ = ["MAX_LINES", "summary_lines"]

MAX_LINES = 25
MAX_FAILED = 6
"""With two lines for each and one to copy, the summary stays within its limit."""
_CACHE_STATUSES = frozenset({"local-cache", "local-cache-kept-existing", "remote-cache"})
_WORDS = {
    TaskOutcome.SUCCEEDED: "succeeded",
    TaskOutcome.FAILED: "failed",
    TaskOutcome.CACHED: "from the cache",
    TaskOutcome.SKIPPED: "skipped",
    TaskOutcome.CANCELLED: "left to the main job or cancelled",
    TaskOutcome.LOST: "lost with their agents",
}


def summary_lines(report: RunReport) -> list[str]:
    """Verdict, counts, times, and the failed tasks with their first error and the line that runs them again."""
    verdict = "succeeded" if report.exit_code == 0 else f"failed (exit code {report.exit_code})"
    run = report.run
    lines = [f"nx-dte: {verdict} · CI run {run.ci_run_id} (pipeline {run.ci_id}, attempt {run.attempt})"]
    lines += [f"  tasks   {_counts(report.tasks)}", f"  agents  {_agents(report)}"]
    times = _times(report.tasks)
    if times:
        lines.append(f"  time    {times}")
    shown = report.failed[:MAX_FAILED]
    for task in shown:
        lines.append(f"  FAILED  {task.task_id}{_how(task)}")
        error = first_error_line(report.outputs.get(task.task_id, ""))
        if error:
            lines.append(f"          {error}")
    if len(report.failed) > len(shown):
        lines.append(f"  … and {len(report.failed) - len(shown)} more failed tasks")
    lines += [f"  again:  {report.nx} run {task.task_id}" for task in shown]
    return lines[:MAX_LINES]


def _counts(tasks: Sequence[TaskView]) -> str:
    if not tasks:
        return "none"
    counts = Counter(task.outcome for task in tasks)
    parts = [f"{counts[outcome]} {words}" for outcome, words in _WORDS.items() if counts[outcome]]
    if counts[None]:
        parts.append(f"{counts[None]} not finished")
    hits = sum(task.nx_status in _CACHE_STATUSES for task in tasks if task.outcome is not TaskOutcome.CACHED)
    if hits:
        parts.append(f"{hits} of them from an agent's cache")
    return f"{len(tasks)}: {', '.join(parts)}"


def _agents(report: RunReport) -> str:
    busy = Counter(task.agent_name for task in report.tasks if task.agent_name is not None and _ran(task))
    if not report.run.agents_joined and not busy:
        return "none joined"
    ran = ", ".join(f"{name} {count}" for name, count in sorted(busy.items())[:8])
    more = f" and {len(busy) - 8} more" if len(busy) > 8 else ""  # noqa: PLR2004  # as many as named above
    return f"{report.run.agents_joined} joined" + (f"; tasks run: {ran}{more}" if ran else "")


def _ran(task: TaskView) -> bool:
    return task.outcome in {TaskOutcome.SUCCEEDED, TaskOutcome.FAILED}


def _times(tasks: Sequence[TaskView]) -> str:
    ran = [task for task in tasks if _ran(task) and task.started_at is not None and task.ended_at is not None]
    if not ran:
        return ""
    started = min(task.started_at for task in ran if task.started_at is not None)
    ended = max(task.ended_at for task in ran if task.ended_at is not None)
    span_s = (ended - started).total_seconds()
    work_s = sum(duration_s(task) for task in ran)
    at_a_time = f", {work_s / span_s:.1f} at a time" if span_s > 0 else ""
    return f"{_spoken(span_s)} for tasks that one after the other take {_spoken(work_s)}{at_a_time}"


def _spoken(seconds: float) -> str:
    if seconds < 60:  # noqa: PLR2004  # a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} m {rest} s" if hours else f"{minutes} m {rest} s"


def _how(task: TaskView) -> str:
    if task.outcome is TaskOutcome.LOST:
        return " (the agents that ran it were lost)"
    code = "" if task.code is None else f" (exit code {task.code})"
    return code + (f" on {task.agent_name}" if task.agent_name else "")

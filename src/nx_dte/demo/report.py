"""The demo's closing tables, as text. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nx_dte.demo import figures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nx_dte.demo.figures import TaskRun

__all__ = ["DemoOutcome", "render", "task_table"]


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOutcome:
    """Everything the report is made from."""

    runs: Sequence[TaskRun]
    agents: int
    parallel: int
    main_code: int
    plain_code: int
    main_affected_s: float
    plain_affected_s: float
    main_job_s: float
    plain_job_s: float

    @property
    def slots(self) -> int:
        """How many tasks could run at once."""
        return self.agents * self.parallel


def render(outcome: DemoOutcome) -> str:
    """Which task ran where, then the times, then the verdict."""
    return "\n\n".join([task_table(outcome.runs), _agents(outcome), _times(outcome), _verdict(outcome)])


def task_table(runs: Sequence[TaskRun]) -> str:
    """One line per task in the order of their starts."""
    if not runs:
        return "No task was run on an agent."
    ordered = sorted(runs, key=lambda run: (run.started_at, run.task_id))
    first = ordered[0].started_at
    rows = [("task", "agent", "start", "time")]
    rows += [
        (run.task_id, run.agent or "main", f"{run.started_at - first:.2f} s", f"{run.duration_s:.2f} s")
        for run in ordered
    ]
    return _aligned(rows)


def _agents(outcome: DemoOutcome) -> str:
    counts = figures.tasks_per_agent(outcome.runs)
    rows = [("agent", "tasks"), *((name, str(count)) for name, count in counts.items())]
    return _aligned(rows)


def _times(outcome: DemoOutcome) -> str:
    path = figures.critical_path(outcome.runs)
    bound = figures.lower_bound_s(outcome.runs, slots=outcome.slots)
    work = figures.work_s(outcome.runs)
    rows = [
        ("", "distributed", "plain nx"),
        ("nx affected", f"{outcome.main_affected_s:.1f} s", f"{outcome.plain_affected_s:.1f} s"),
        ("the whole job", f"{outcome.main_job_s:.1f} s", f"{outcome.plain_job_s:.1f} s"),
    ]
    return "\n".join(
        [
            _aligned(rows),
            "",
            f"first task's start to last task's end    {figures.span_s(outcome.runs):.1f} s",
            f"lower bound max(critical path, work ÷ slots)    {bound:.1f} s",
            f"  critical path    {figures.work_s(path):.1f} s    {' → '.join(run.task_id for run in path)}",
            f"  work ÷ slots     {work / outcome.slots:.1f} s    {work:.1f} s ÷ ({outcome.agents} agents x {outcome.parallel})",
        ]
    )


def _verdict(outcome: DemoOutcome) -> str:
    return f"exit code of the main job: {outcome.main_code}    of plain nx: {outcome.plain_code}"


def _aligned(rows: Sequence[tuple[str, ...]]) -> str:
    """Columns as wide as their widest cell; the first to the left, numbers to the right."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if index and cell[:1].isdigit() else cell.ljust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)

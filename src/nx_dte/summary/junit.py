"""A JUnit report for GitLab's Tests tab: a suite for each target, a case for each project. Pure."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from nx_dte.model.task import TaskOutcome
from nx_dte.summary.output import first_error_line, tail
from nx_dte.summary.report import duration_s

if TYPE_CHECKING:
    from nx_dte.protocol.tasks import TaskView
    from nx_dte.summary.report import RunReport

__all__ = ["junit_xml"]

TAIL_LINES = 80
_SKIPPED = {
    TaskOutcome.SKIPPED: "a task it depends on did not end well",
    TaskOutcome.CANCELLED: "left to the main job or cancelled: the job's log says how it ended",
    None: "it was not finished",
}


def junit_xml(report: RunReport) -> str:
    """The report as XML: one case per task, whatever its attempts; hits pass and took no time."""
    root = ET.Element("testsuites", name="nx-dte")
    by_target = sorted(report.tasks, key=lambda task: (_suite(task), task.project))
    for name, tasks in groupby(by_target, key=_suite):
        cases = [_case(task, report) for task in tasks]
        suite = ET.SubElement(
            root,
            "testsuite",
            name=name,
            tests=str(len(cases)),
            failures=str(sum(case.find("failure") is not None for case in cases)),
            skipped=str(sum(case.find("skipped") is not None for case in cases)),
            time=f"{sum(float(case.get('time', '0')) for case in cases):.3f}",
        )
        suite.extend(cases)
    ET.indent(root)
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ET.tostring(root, encoding="unicode")}\n'


def _suite(task: TaskView) -> str:
    return task.target if task.configuration is None else f"{task.target}:{task.configuration}"


def _case(task: TaskView, report: RunReport) -> ET.Element:
    seconds = 0.0 if task.outcome is TaskOutcome.CACHED else duration_s(task)
    case = ET.Element("testcase", classname=_suite(task), name=task.project, time=f"{seconds:.3f}")
    if task.project in report.roots:
        case.set("file", report.roots[task.project])
    if task.outcome is not None and task.outcome.is_failure:
        output = report.outputs.get(task.task_id, "")
        why = first_error_line(output) or (
            "lost with its agents" if task.outcome is TaskOutcome.LOST else f"exit code {task.code}"
        )
        ET.SubElement(case, "failure", message=why).text = tail(output, lines=TAIL_LINES)
    elif task.outcome in _SKIPPED:
        ET.SubElement(case, "skipped", message=_SKIPPED[task.outcome])
    return case

"""A JUnit report for GitLab's Tests tab: a suite for each target, a case for each project. Pure.

GitLab reads classname, name, file and time, and the text (not the attributes) of `failure` and `skipped`, of which it
shows some 80 lines.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from nx_dte.model.task import TaskOutcome
from nx_dte.summary.output import first_error_line, plain_text, tail
from nx_dte.summary.report import how_it_failed, run_s

if TYPE_CHECKING:
    from nx_dte.protocol.tasks import TaskView
    from nx_dte.summary.report import RunReport

__all__ = ["junit_xml"]

TAIL_LINES = 70
_SKIPPED = {
    TaskOutcome.SKIPPED: "a task it depends on did not end well, or the command stopped at its first failure",
    TaskOutcome.CANCELLED: "left to the main job or cancelled: the main job's log says how it ended",
    None: "it was not finished",
}


def junit_xml(report: RunReport) -> str:
    """The report as XML: one case per task, whatever its attempts; hits pass, took no time, and say so."""
    root = ET.Element("testsuites", name="nx-dte")
    by_target = sorted(report.tasks, key=lambda task: (_suite(task), task.project))
    for name, tasks in groupby(by_target, key=_suite):
        cases = [_case(task, report) for task in tasks]
        suite = ET.SubElement(
            root,
            "testsuite",
            name=plain_text(name),
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
    case = ET.Element(
        "testcase",
        classname=plain_text(_suite(task)),
        name=plain_text(task.project),
        time=f"{run_s(task):.3f}",
    )
    if task.project in report.roots:
        case.set("file", plain_text(report.roots[task.project]))
    if task.outcome is not None and task.outcome.is_failure:
        output = report.outputs.get(task.task_id, "")
        how = how_it_failed(task)
        why = plain_text(first_error_line(output) or how)
        ET.SubElement(case, "failure", message=why).text = _failure_text(task, report, how, why, output)
    elif task.outcome in _SKIPPED:
        why = _SKIPPED[task.outcome]
        ET.SubElement(case, "skipped", message=why).text = why
    elif task.outcome is TaskOutcome.CACHED:
        ET.SubElement(case, "system-out").text = "from the cache; it was not run"
    return case


def _failure_text(task: TaskView, report: RunReport, how: str, why: str, output: str) -> str:
    """Never empty: GitLab shows the attributes of an element without text as its text."""
    head = [f"{task.task_id}: {how}", why] if why != how else [f"{task.task_id}: {how}"]
    head.append(f"again: {report.nx} run {task.task_id}")
    if report.tasks_command is not None:
        head.append(f"more: {report.tasks_command}")
    said = tail(output, lines=TAIL_LINES)
    return plain_text(
        "\n".join([*head, "", said or "What it printed could not be had; the main job's log has it."])
    )

"""An examination for people and for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import nx_dte
from nx_dte.doctor.findings import Status

if TYPE_CHECKING:
    from nx_dte.doctor.examining import Examination

__all__ = ["as_json", "as_text"]

_STATUS_WIDTH = max(len(status.value) for status in Status)


def as_text(examination: Examination) -> str:
    """One line for each check, what to do below it, and a last line that sums up. Plain ASCII around the findings."""
    width = max(len(check_id) for check_id in examination.findings)
    lines = [f"nx-dte doctor {nx_dte.__version__}: {examination.role.place}, {examination.directory}"]
    for check_id, finding in examination.findings.items():
        lines.append(f"  {finding.status.value:<{_STATUS_WIDTH}}  {check_id:<{width}}  {finding.found}")
        if finding.remedy is not None:
            lines.append(f"  {'':<{_STATUS_WIDTH}}  {'':<{width}}  -> {finding.remedy}")
    lines.append(_summary(examination))
    return "\n".join(lines)


def as_json(examination: Examination) -> str:
    """The same as JSON; fields are only ever added."""
    document = {
        "nx_dte": nx_dte.__version__,
        "role": examination.role.value,
        "directory": str(examination.directory),
        "has_problem": examination.has_problem,
        "checks": [
            {
                "id": check_id,
                "status": finding.status.value,
                "found": finding.found,
                "remedy": finding.remedy,
            }
            for check_id, finding in examination.findings.items()
        ],
    }
    return json.dumps(document, indent=2)


def _summary(examination: Examination) -> str:
    problems, notes, fine = (examination.count(status) for status in (Status.PROBLEM, Status.NOTE, Status.OK))
    return f"{_counted(problems, 'problem')}, {_counted(notes, 'note')}, {fine} ok"


def _counted(number: int, noun: str) -> str:
    return f"{number or 'no'} {noun}{'' if number == 1 else 's'}"

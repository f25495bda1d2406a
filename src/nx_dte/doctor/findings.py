"""What a check says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Finding", "Status", "combined", "not_checked", "note", "ok", "problem"]


class Status(StrEnum):
    """How bad it is."""

    OK = "ok"
    NOTE = "note"
    """Worth knowing, or not checked; jobs can work."""
    PROBLEM = "problem"
    """Jobs will fail, or nothing will be distributed."""


_BADNESS = {Status.OK: 0, Status.NOTE: 1, Status.PROBLEM: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One check's answer."""

    status: Status
    found: str
    """What is there, in one line."""
    remedy: str | None = None
    """What to do; every problem has one."""


def ok(found: str) -> Finding:
    """All is well."""
    return Finding(status=Status.OK, found=found)


def note(found: str, remedy: str | None = None) -> Finding:
    """Worth knowing."""
    return Finding(status=Status.NOTE, found=found, remedy=remedy)


def problem(found: str, remedy: str) -> Finding:
    """To be fixed."""
    return Finding(status=Status.PROBLEM, found=found, remedy=remedy)


def not_checked(why: str) -> Finding:
    """There is nothing to look at."""
    return Finding(status=Status.NOTE, found=f"not checked: {why}")


def combined(findings: Sequence[Finding], *, otherwise: str) -> Finding:
    """Several answers of one check as one, the worst first; `otherwise` is what is said when there is none."""
    if not findings:
        return ok(otherwise)
    by_badness = sorted(findings, key=lambda finding: -_BADNESS[finding.status])
    remedies = [finding.remedy for finding in by_badness if finding.remedy is not None]
    return Finding(
        status=by_badness[0].status,
        found="; ".join(finding.found for finding in by_badness),
        remedy=" ".join(dict.fromkeys(remedies)) or None,
    )

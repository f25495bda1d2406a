"""From options to findings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nx_dte.doctor.checks import CHECKS
from nx_dte.doctor.findings import Finding, Status
from nx_dte.doctor.gathering import gather
from nx_dte.doctor.masking import Mask
from nx_dte.doctor.options import Options

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nx_dte.doctor.facts import Facts
    from nx_dte.doctor.role import Role

__all__ = ["Examination", "examine", "judge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """All findings, by the ids of their checks, in the order in which they are shown. Without secrets."""

    role: Role
    directory: Path
    findings: Mapping[str, Finding]

    def count(self, status: Status) -> int:
        """How many findings are of a status."""
        return sum(finding.status is status for finding in self.findings.values())

    @property
    def has_problem(self) -> bool:
        """Whether anything is to be fixed."""
        return self.count(Status.PROBLEM) > 0


def examine(
    role: Role, directory: Path, environ: Mapping[str, str], *, asks_origin: bool = False
) -> Examination:
    """Look at everything that concerns a role, within fifteen seconds. Changes nothing.

    Raises:
        ConfigurationError: there is no such folder.
    """
    options = Options(role=role, directory=directory, asks_origin=asks_origin)
    return judge(gather(options, environ), asks_origin=asks_origin)


def judge(facts: Facts, *, asks_origin: bool = False) -> Examination:
    """What the checks of a role make of the facts. Pure."""
    mask = Mask(facts.environ)
    findings = {
        check.check_id: _masked(check.examine(facts), mask)
        for check in CHECKS
        if facts.role in check.roles and (asks_origin or check.check_id != "origin")
    }
    return Examination(role=facts.role, directory=facts.directory, findings=findings)


def _masked(finding: Finding, mask: Mask) -> Finding:
    remedy = None if finding.remedy is None else mask(finding.remedy)
    return Finding(status=finding.status, found=mask(finding.found), remedy=remedy)

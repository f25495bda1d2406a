"""All checks over one file."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nx_dte.pipeline.cast import Cast, Slots
from nx_dte.pipeline.checks import base_commit, caches, endings, guarding, occupancy, presence
from nx_dte.pipeline.ci_file import read
from nx_dte.pipeline.finding import Severity

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from nx_dte.pipeline.ci_file import CiFile
    from nx_dte.pipeline.finding import Finding

__all__ = ["lint"]

_CHECKS = (
    presence.check_parts,
    presence.check_rules,
    presence.check_stages,
    presence.check_names,
    presence.check_order,
    occupancy.check_resource_groups,
    occupancy.check_sharing,
    occupancy.check_sums,
    occupancy.check_caps,
    base_commit.check_history,
    base_commit.check_export,
    base_commit.check_before_sha,
    base_commit.check_time,
    endings.check_passed_on,
    endings.check_allowed,
    endings.check_agent_retry,
    endings.check_main_retry,
    guarding.check_guard,
    guarding.check_job_names,
    caches.check_caches,
    presence.check_includes,
)


def lint(file: Path, *, text: str | None = None, slots: Slots | None = None) -> tuple[Finding, ...]:
    """Everything the checks find in a file, in the order of its lines. `text` stands for what is in it.

    Raises:
        CiFileError: it cannot be read, or GitLab could not.
    """
    ci_file = read(file, text=text)
    cast = Cast.of(ci_file, slots or Slots())
    found = (_weighed(finding, ci_file) for check in _CHECKS for finding in check(cast))
    return tuple(
        sorted(_together(found), key=lambda finding: (finding.place.file != str(file), finding.place))
    )


def _weighed(finding: Finding, file: CiFile) -> Finding:
    """Where an include was not read, what is missing may be in there."""
    if finding.is_by_absence and not file.is_whole:
        return replace(finding, severity=Severity.NOTE)
    return finding


def _together(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Jobs that share a fault share its line of output."""
    shared: dict[tuple[object, ...], list[Finding]] = {}
    for finding in findings:
        shared.setdefault((finding.code, finding.message, finding.severity), []).append(finding)
    return tuple(
        replace(
            same[0],
            jobs=tuple(dict.fromkeys(job for finding in same for job in finding.jobs)),
            place=min(finding.place for finding in same),
        )
        for same in shared.values()
    )

"""Short ways to the lint."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nx_dte.pipeline import Severity, Slots, lint

if TYPE_CHECKING:
    from nx_dte.pipeline import Finding

__all__ = ["faults", "findings"]


def findings(text: str, *, slots: Slots | None = None) -> tuple[Finding, ...]:
    """Everything the lint says of a text."""
    return lint(Path("ci.yml"), text=text, slots=slots)


def faults(text: str, *, slots: Slots | None = None) -> set[str]:
    """The codes of its faults."""
    return {
        finding.code.value for finding in findings(text, slots=slots) if finding.severity is Severity.FAULT
    }

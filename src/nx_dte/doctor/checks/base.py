"""What a check is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from nx_dte.doctor.facts import Facts
    from nx_dte.doctor.findings import Finding
    from nx_dte.doctor.role import Role

__all__ = ["Check"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One question, for the roles it concerns."""

    check_id: str
    """Stable; scripts may rely on it."""
    roles: frozenset[Role]
    examine: Callable[[Facts], Finding]

"""What the doctor was asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from nx_dte.doctor.role import Role

__all__ = ["Options"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is to be examined, and where."""

    role: Role
    directory: Path
    asks_origin: bool = False
    """Whether the checkout's remote is called."""
    timeout_s: float = 12.0
    """For finding out everything; with the start of a process, the promise is fifteen seconds."""

"""What the guard says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from nx_dte.errors import EXIT_CONFIGURATION

__all__ = ["EXIT_MIRROR", "Verdict", "VerdictKind"]

EXIT_MIRROR = 77
"""An agent ends as its failed main did, so that GitLab's Retry brings back both."""


class VerdictKind(StrEnum):
    """What the job should do."""

    PROCEED = "proceed"
    NOTHING_TO_DO = "nothing_to_do"
    """Leave with 0: the main job has succeeded."""
    MIRROR = "mirror"
    """Leave with 77: the main job has failed."""
    REFUSE = "refuse"
    """Leave with 78: only a person can go on from here."""


_EXIT_CODES = {
    VerdictKind.PROCEED: 0,
    VerdictKind.NOTHING_TO_DO: 0,
    VerdictKind.MIRROR: EXIT_MIRROR,
    VerdictKind.REFUSE: EXIT_CONFIGURATION,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the job should do, and why, in a sentence for its log."""

    kind: VerdictKind
    message: str
    notes: tuple[str, ...] = ()
    """What could not be found out."""
    join_timeout_s: float | None = None
    """Main: wait no longer than this for the first agent, then run the tasks itself. None: as set."""
    main_timeout_s: float | None = None
    """Agent: wait no longer than this for main. None: as set."""
    after_attempt: int | None = None
    """Agent: this attempt of the CI run is over; only a newer one is worth joining."""
    otherwise: VerdictKind = VerdictKind.MIRROR
    """Agent: what the verdict becomes when no newer attempt came within `main_timeout_s`."""

    @property
    def exit_code(self) -> int:
        """What the job ends with, unless it proceeds."""
        return _EXIT_CODES[self.kind]

    @property
    def may_proceed(self) -> bool:
        """Whether the job should do its work."""
        return self.kind is VerdictKind.PROCEED

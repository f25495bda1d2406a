"""Was this coordinator at work all the time? Pure: clocks come in as values.

Deadlines measure the silence of others. While nobody could be heard (the process frozen or its machine suspended, the
database away, the coordinator restarted) that silence says nothing, and a clock that is set makes it meaningless. Then
deadlines are moved by the time that no coordinator was at work. Moved, not renewed: what was dead before stays as close
to its end as it was, however often a coordinator starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

LONGEST_GAP_S = 5.0
LONGEST_JUMP_S = 2.0
_ROUNDS = 10  # a reaper that is late by so many of its rounds was not at work
_SHARE_OF_LEASE = 3
_NOTES_IN_GAP = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One reading of both clocks."""

    wall: datetime
    monotonic_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """How long a coordinator may be away before that counts.

    Seconds: `lease_s` of the settings, and `interval_s` between two rounds of the reaper.
    """

    lease_s: float
    interval_s: float

    @property
    def gap_s(self) -> float:
        """An absence shorter than this is no matter: a lease outlasts it by far."""
        return min(LONGEST_GAP_S, self.lease_s / _SHARE_OF_LEASE)

    @property
    def note_every_s(self) -> float:
        """How often to note that one is at work."""
        return self.gap_s / _NOTES_IN_GAP

    def was_away(self, before: Moment, now: Moment) -> bool:
        """Whether the process stood still between two rounds, or its clock was set."""
        gap_s = now.monotonic_s - before.monotonic_s
        jump_s = (now.wall - before.wall).total_seconds() - gap_s
        return abs(jump_s) > LONGEST_JUMP_S or gap_s > max(self.gap_s, _ROUNDS * self.interval_s)

    def owed(self, at_work_at: datetime, now: datetime) -> timedelta:
        """By how much to move deadlines when a coordinator was last at work then; back, if the clock was set back."""
        away = now - at_work_at
        return away if abs(away.total_seconds()) > self.gap_s else timedelta()

"""How often, how long, how patient. Values only."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Limits"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The supervisor's limits; all times are seconds."""

    idle_limit_s: float | None = None
    """Leave when no task has run for this long since joining. None: stay until told to leave."""
    lifetime_s: float | None = None
    """Leave after this long; what is not finished goes back to the queue. None: no limit."""
    grace_s: float = 7.0
    """From being told to stop to the end; a cancelled job is killed about 9 s after it was told."""
    max_restarts: int = 5
    """In a row; a life of `steady_s` begins the count anew."""
    steady_s: float = 60.0
    first_pause_s: float = 1.0
    """Before the first restart; doubles with every further one in a row."""
    longest_pause_s: float = 30.0

    def pause_s(self, restart: int) -> float:
        """How long to wait before a restart, counted from 1."""
        return float(min(self.first_pause_s * 2 ** (restart - 1), self.longest_pause_s))

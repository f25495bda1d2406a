"""The clock that deadlines go by: this machine's, or, where a server has the database, that server's.

Several coordinators on one database judge each other's deadlines. With clocks of their own, one that is a lease's length
ahead would take every agent for lost that another has just heard of.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from nx_dte.coordinator.engine.presence import Moment

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from nx_dte.coordinator.store.base import Store

TOLERANCE_S = 0.1  # smaller differences are not worth a step


class Clock:
    """Tells the time. Between two looks at the server it goes on by the monotonic clock, which nobody sets."""

    def __init__(self, *, wall: Callable[[], datetime], monotonic: Callable[[], float]) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._set: Moment | None = None

    def now(self) -> datetime:
        """The time, from any thread."""
        return self._wall() if self._set is None else _at(self._set, self._monotonic())

    async def set_by(self, store: Store) -> None:
        """Ask the database's server for the time; a database on this machine has none of its own.

        Raises:
            StoreUnreachableError: it does not answer; the clock goes on as it was.
        """
        asked_s = self._monotonic()
        told = await store.read(lambda reads: reads.server_time())
        if told is None:
            return
        answered_s = self._monotonic()
        middle_s = (asked_s + answered_s) / 2
        unknown_s = (answered_s - asked_s) / 2 + TOLERANCE_S
        if self._set is None or abs((told - _at(self._set, middle_s)).total_seconds()) > unknown_s:
            self._set = Moment(wall=told, monotonic_s=middle_s)


def _at(known: Moment, monotonic_s: float) -> datetime:
    return known.wall + timedelta(seconds=monotonic_s - known.monotonic_s)

"""Whether one more artifact has room, and whom to tell when it has not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nx_dte.coordinator.artifacts import NoSpaceError

if TYPE_CHECKING:
    from nx_dte.coordinator.retention.service import Retention

MIB = 1024**2
UNKNOWN_NEED = 256 * MIB  # what a full disk is asked for when nobody said how much was to come


class Room:
    """Keeps the sum of all artifacts within its limit.

    It counts what this process takes in, and measures again when the limit seems to be reached. With several
    coordinators the sum may pass the limit for a while by what the others took in; their next round brings it back.
    """

    def __init__(self, retention: Retention) -> None:
        self._retention = retention
        self._limit = retention.policy.max_bytes
        self._stored: int | None = None

    async def admit(self, size: int) -> None:
        """Let `size` more bytes in, after making room for them if need be.

        Raises:
            NoSpaceError: they do not fit, and nothing more may be deleted now.
        """
        if not self._limit:
            return
        if self._stored is None or self._stored + size > self._limit:
            self._stored = await self._retention.make_room(size)
        if self._stored + size > self._limit:
            raise NoSpaceError(
                f"artifacts_total_max_bytes allows {self._limit} bytes, {self._stored} are stored and still in use, "
                f"and {size} more do not fit; raise it, or wait until CI runs end"
            )
        self._stored += size

    def disk_is_full(self, size: int | None) -> None:
        """Somebody could not store `size` bytes: let retention make room, without waiting for it."""
        self._retention.hurry(UNKNOWN_NEED if size is None else size)

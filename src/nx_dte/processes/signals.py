"""Remembers that the job was told to stop."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import FrameType, TracebackType

__all__ = ["StopSignals"]

_NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


class StopSignals:
    """While it is entered, SIGTERM, SIGINT, SIGHUP and SIGQUIT are noted instead of ending the process.

    The handler only notes: whoever waits looks every few milliseconds, so nothing is cut in the middle.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        """The first signal that came."""
        self._before: dict[signal.Signals, object] = {}

    @property
    def exit_code(self) -> int:
        """What a program ends with that was ended by the signal."""
        return 128 + int(self.received or signal.SIGTERM)

    def __enter__(self) -> Self:
        """Begin to note."""
        self._before = {number: signal.signal(number, self._note) for number in _NUMBERS}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let signals do again what they did before."""
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal gave

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.received = self.received or signal.Signals(number)

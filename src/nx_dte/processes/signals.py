"""Remembers that the job was told to stop."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType, TracebackType

__all__ = ["STOP_CODES", "StopSignals", "StoppedError"]

_NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
STOP_CODES = frozenset(128 + number for number in _NUMBERS)
"""What programs end with that were ended by one of these signals."""


class StoppedError(BaseException):
    """The job was told to stop. No Exception: whoever catches those must not swallow it."""


class StopSignals:
    """While it is entered, SIGTERM, SIGINT, SIGHUP and SIGQUIT are noted instead of ending the process.

    The handler only notes: whoever waits looks every few milliseconds, so nothing is cut in the middle. Where there is
    nothing to look, and nothing to put in order, `interrupting` ends the wait.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        """The first signal that came."""
        self._is_interrupting = False
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

    @contextmanager
    def interrupting(self) -> Iterator[None]:
        """While it is entered, the first signal raises StoppedError wherever the program is.

        Raises:
            StoppedError: a signal came, now or before.
        """
        self._is_interrupting = True
        try:
            if self.received is not None:
                raise StoppedError
            yield
        finally:
            self._is_interrupting = False

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.received = self.received or signal.Signals(number)
        if self._is_interrupting:
            self._is_interrupting = False  # once: clearing up is not cut short by a second signal
            raise StoppedError

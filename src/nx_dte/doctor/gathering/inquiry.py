"""Many questions at once, and one deadline for all answers."""

from __future__ import annotations

import queue
import threading
import time
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Inquiry", "Pending"]

T = TypeVar("T")


class Pending(Generic[T]):
    """An answer that is on its way."""

    def __init__(self, work: Callable[[], T], deadline: float) -> None:
        """Begin to work, in a daemon thread: a process that ends does not wait for it."""
        self._deadline = deadline
        self._results: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()
        threading.Thread(target=self._run, args=(work,), daemon=True, name="nx-dte-doctor").start()

    def result(self, otherwise: T) -> T:
        """The answer; `otherwise` when there is none by the deadline. Call it once. Raises what the work raised."""
        try:
            result, error = self._results.get(timeout=max(self._deadline - time.monotonic(), 0.0))
        except queue.Empty:
            return otherwise
        if error is not None:
            raise error
        return result  # type: ignore[return-value]  # no error: this is what the work gave

    def _run(self, work: Callable[[], T]) -> None:
        try:
            self._results.put((work(), None))
        except BaseException as error:  # noqa: BLE001  # handed over, and raised where it is waited for
            self._results.put((None, error))


class Inquiry:
    """Asks, and knows until when."""

    def __init__(self, timeout_s: float) -> None:
        self.deadline = time.monotonic() + timeout_s

    def ask(self, work: Callable[[], T], *, timeout_s: float | None = None) -> Pending[T]:
        """Begin to find something out; with `timeout_s`, something that others wait for."""
        soon = self.deadline if timeout_s is None else time.monotonic() + timeout_s
        return Pending(work, min(soon, self.deadline))

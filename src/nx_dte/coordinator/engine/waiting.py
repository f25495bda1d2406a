"""How a long-poll waits."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nx_dte.coordinator.engine.notifier import Listener

A = TypeVar("A")


@dataclass(slots=True, kw_only=True)
class Patience:
    """How long a request may wait, whether its client is still there, and how long it has waited."""

    wait_s: float
    is_gone: Callable[[], Awaitable[bool]]
    waited_s: float = 0.0
    _began: float = field(default_factory=time.monotonic)

    @property
    def remaining_s(self) -> float:
        """What is left of the time."""
        return self._began + self.wait_s - time.monotonic()


async def until(
    attempt: Callable[[], Awaitable[A]],
    is_answer: Callable[[A], bool],
    is_worth_trying: Callable[[], Awaitable[bool]],
    listener: Listener,
    patience: Patience,
) -> A:
    """Try, and while there is nothing to say wait for a hint (or two seconds) and try again if that may help."""
    answer = await attempt()
    while not is_answer(answer) and not listener.is_closed and patience.remaining_s > 0:
        began = time.monotonic()
        await listener.wait(patience.remaining_s)
        patience.waited_s += time.monotonic() - began
        # A client that hung up must be given nothing: the answer would be lost, and its work with it for a while.
        if await patience.is_gone():
            return answer
        if await is_worth_trying():
            answer = await attempt()
    return answer

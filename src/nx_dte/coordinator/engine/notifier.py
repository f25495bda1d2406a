"""Wakes long-polls. A hint only: whoever waits looks at the store again every two seconds anyway."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

LOOK_AGAIN_S = 2.0


class Listener:
    """One waiting request."""

    def __init__(self, notifier: Notifier) -> None:
        self._event = asyncio.Event()
        self._notifier = notifier

    @property
    def is_closed(self) -> bool:
        """The coordinator stops; nobody should wait."""
        return self._notifier.is_closed

    def wake(self) -> None:
        """There may be news."""
        self._event.set()

    async def wait(self, remaining_s: float) -> None:
        """Until woken, or it is time to look again. What woke it before the call counts as well."""
        if not self._notifier.is_closed:
            try:
                async with asyncio.timeout(min(remaining_s, LOOK_AGAIN_S)):
                    await self._event.wait()
            except TimeoutError:
                pass
        self._event.clear()


class Notifier:
    """Listeners by topic, in one event loop."""

    def __init__(self) -> None:
        self._listeners: dict[Hashable, set[Listener]] = {}
        self.is_closed = False

    @contextmanager
    def listen(self, topic: Hashable) -> Iterator[Listener]:
        """Listen from now on; begin before looking at the store, so that nothing is missed."""
        listener = Listener(self)
        self._listeners.setdefault(topic, set()).add(listener)
        try:
            yield listener
        finally:
            others = self._listeners[topic]
            others.discard(listener)
            if not others:
                del self._listeners[topic]

    def notify(self, topic: Hashable) -> None:
        """Wake all who listen to the topic."""
        for listener in self._listeners.get(topic, ()):
            listener.wake()

    def close(self) -> None:
        """The coordinator stops: wake everybody, and let nobody wait again."""
        self.is_closed = True
        for listeners in self._listeners.values():
            for listener in listeners:
                listener.wake()

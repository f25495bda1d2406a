"""The engine as one thing: its parts share one runner, one notifier and one set of limits."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from nx_dte.coordinator.engine.acting import Actor
from nx_dte.coordinator.engine.agents import Agents
from nx_dte.coordinator.engine.cache import Cache
from nx_dte.coordinator.engine.main_jobs import MainJobs
from nx_dte.coordinator.engine.notifier import Notifier
from nx_dte.coordinator.engine.queries import Queries
from nx_dte.coordinator.engine.reaper import Reaper
from nx_dte.coordinator.engine.runner import EventRunner
from nx_dte.coordinator.engine.storage import Storage

if TYPE_CHECKING:
    from nx_dte.coordinator.engine.clock import Clock
    from nx_dte.coordinator.engine.storage import Keeping
    from nx_dte.coordinator.scheduler.context import Limits
    from nx_dte.coordinator.store.base import Store
    from nx_dte.model.ids import IdFactory
    from nx_dte.telemetry import Metrics


class Engine:
    """What the API talks to."""

    def __init__(
        self,
        *,
        store: Store,
        keeping: Keeping,
        metrics: Metrics,
        limits: Limits,
        clock: Clock,
        new_id: IdFactory,
        reap_interval_s: float = 0.5,
    ) -> None:
        self.notifier = Notifier()
        self._runner = EventRunner(
            store=store,
            actor=Actor(notifier=self.notifier, metrics=metrics),
            metrics=metrics,
            limits=limits,
            now=clock.now,
            new_id=new_id,
        )
        self.limits = limits
        self.main_jobs = MainJobs(self._runner, time.monotonic)
        self.agents = Agents(self._runner, self.notifier, metrics)
        self.queries = Queries(self._runner, self.notifier)
        self.storage = Storage(self._runner, keeping, metrics)
        self.cache = Cache(self._runner, self.storage, keeping.touch_every)
        self.reaper = Reaper(
            self._runner, reap_interval_s, time.monotonic, set_clock=lambda: clock.set_by(store)
        )

    async def check(self) -> None:
        """Raise when the store cannot be read or written."""
        await self._runner.read(lambda reads: reads.tokens())
        await self._runner.write(lambda session: session.tokens())

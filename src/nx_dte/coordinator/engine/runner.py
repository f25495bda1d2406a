"""The rule itself: one event is one transaction; what follows from it happens after the commit."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from nx_dte.coordinator.engine.persisting import persist
from nx_dte.coordinator.scheduler.answers import Answer, Decision
from nx_dte.coordinator.scheduler.context import Context, Limits
from nx_dte.coordinator.store.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from nx_dte.coordinator.engine.acting import Actor
    from nx_dte.coordinator.store.base import Reads, Session, Store
    from nx_dte.model.ids import IdFactory
    from nx_dte.telemetry import Metrics

A = TypeVar("A", bound=Answer)
T = TypeVar("T")
TRIES = 4  # a conflict means that another writer was faster; with so many tries each of them gets its turn


class EventRunner:
    """Runs events. Everything that changes a CI run goes through `run_event`."""

    def __init__(
        self,
        *,
        store: Store,
        actor: Actor,
        metrics: Metrics,
        limits: Limits,
        now: Callable[[], datetime],
        new_id: IdFactory,
    ) -> None:
        self._store = store
        self._actor = actor
        self._metrics = metrics
        self.limits = limits
        self.now = now
        self.new_id = new_id

    async def run_event(
        self,
        name: str,
        load_and_decide: Callable[[Session, Context], Decision[A]],
        *,
        at: datetime | None = None,
    ) -> A:
        """Load, decide, persist in one transaction, then act. `name` labels the metric, `at` is when; else it is now.

        Raises:
            NxDteError: what loading or deciding raised; nothing was changed.
        """

        def work(session: Session) -> Decision[A]:
            began = time.perf_counter()
            context = Context(now=at or self.now(), new_id=self.new_id, limits=self.limits)
            decision = load_and_decide(session, context)
            persist(session, decision.facts, context.now)
            self._metrics.transaction_duration_seconds.labels(event=name).observe(time.perf_counter() - began)
            return decision

        arrived = time.perf_counter()
        decision = await self.write(work)
        self._metrics.commit_duration_seconds.labels(event=name).observe(time.perf_counter() - arrived)
        self._actor.act(decision)
        return decision.answer

    async def write(self, work: Callable[[Session], T]) -> T:
        """Write what is no event of a run, trying again when another writer was faster."""
        for _ in range(TRIES - 1):
            try:
                return await self._store.write(work)
            except ConflictError:
                continue
        return await self._store.write(work)

    async def read(self, work: Callable[[Reads], T]) -> T:
        """Look at the store."""
        return await self._store.read(work)

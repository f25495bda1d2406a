"""Fills the gauges, at most once in a few seconds: however many scrape, the store is asked as rarely."""

from __future__ import annotations

import asyncio
import shutil
from typing import TYPE_CHECKING

import structlog

from nx_dte.model.agent import AgentState
from nx_dte.model.run import CiRunState
from nx_dte.model.task import TaskState

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from nx_dte.coordinator.store.base import StateCounts
    from nx_dte.telemetry import Metrics

log: structlog.stdlib.BoundLogger = structlog.get_logger("nx_dte.gauges")
MEMORY_S = 5.0
PATIENCE_S = 5.0  # less than the ten seconds that Prometheus waits


class Gauges:
    """The state gauges, from one look at the store and one at the disk."""

    def __init__(
        self,
        *,
        metrics: Metrics,
        counts: Callable[[], Awaitable[StateCounts]],
        data_dir: Path | None,
        monotonic: Callable[[], float],
    ) -> None:
        self._metrics = metrics
        self._counts = counts
        self._data_dir = data_dir
        self._monotonic = monotonic
        self._asking = asyncio.Lock()
        self._good_until: float | None = None

    def forget(self) -> None:
        """Look again at the next scrape."""
        self._good_until = None

    async def fill(self) -> None:
        """Show how things stand, or stood a few seconds ago."""
        async with self._asking:
            if self._good_until is not None and self._monotonic() < self._good_until:
                return
            try:
                async with asyncio.timeout(PATIENCE_S):
                    self._show(await self._counts())
            except Exception as error:  # noqa: BLE001 - a page without states is better than none at all
                self._metrics.store_up.set(0)
                log.warning("the store does not answer", error=f"{type(error).__name__}: {error}")
            else:
                self._metrics.store_up.set(1)
            await asyncio.to_thread(self._show_disk)
            self._good_until = self._monotonic() + MEMORY_S

    def _show(self, counts: StateCounts) -> None:
        metrics = self._metrics
        for gauge, states, shown in (
            (metrics.ci_runs, CiRunState, counts.ci_runs),
            (metrics.tasks, TaskState, counts.tasks),
            (metrics.agents, AgentState, counts.agents),
        ):
            metrics.set_states(gauge, {state.value: shown.get(state.value, 0) for state in states})
        metrics.migrations_pending.set(counts.migrations_pending)
        metrics.artifact_store_bytes.set(counts.artifact_bytes)
        oldest = metrics.oldest_ready_task_timestamp_seconds
        oldest.clear()  # no ready task, no sample: a zero would look like one that waits since 1970
        for beside, since in counts.oldest_ready.items():
            oldest.labels(agents=beside.value).set(since.timestamp())

    def _show_disk(self) -> None:
        if self._data_dir is None:
            return
        usage = shutil.disk_usage(self._data_dir)
        self._metrics.data_disk_free_bytes.set(usage.free)
        self._metrics.data_disk_size_bytes.set(usage.total)

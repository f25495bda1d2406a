"""The loop that deletes, a small transaction at a time."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import structlog

from nx_dte.coordinator.retention.policy import ABANDONED_AFTER, FORGET_TASKS_AFTER, choose
from nx_dte.errors import NxDteError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from nx_dte.coordinator.artifacts import ArtifactService
    from nx_dte.coordinator.retention.policy import Policy
    from nx_dte.coordinator.store.base import Session, Store
    from nx_dte.model.artifact import Artifact
    from nx_dte.model.ids import CiRunId
    from nx_dte.telemetry import Metrics

log: structlog.stdlib.BoundLogger = structlog.get_logger("nx_dte.retention")

ROWS = 500  # of one transaction
ARTIFACTS = 100  # of one transaction; each brings its cache entries along
RUNS = 50  # looked up at once
REMOVALS = 8  # blobs removed at the same time
PAUSE_S = 5.0  # between two hurried rounds: a disk that stays full must not keep the coordinator busy
KINDS = ("ci_run", "cache_entry", "task_history", "artifact", "blob")


class Retention:
    """Deletes what is old or in the way, and never what a live CI run needs."""

    def __init__(
        self,
        *,
        store: Store,
        artifacts: ArtifactService,
        metrics: Metrics,
        policy: Policy,
        interval_s: float,
        now: Callable[[], datetime],
    ) -> None:
        self.policy = policy
        self._store = store
        self._artifacts = artifacts
        self._metrics = metrics
        self._interval_s = interval_s
        self._now = now
        self._freeing = asyncio.Lock()
        self._hurry = asyncio.Event()
        self._wanted = 0
        metrics.preset(metrics.retention_deleted_total, "kind", KINDS)

    # --------------------------------------------------------------------------------------- when
    async def run_forever(self) -> None:
        """A round now, then one in each interval, or soon when the disk is full; faults wait for the next round."""
        while True:
            self._hurry.clear()
            wanted, self._wanted = self._wanted, 0
            try:
                await self.run_once(wanted)
            except NxDteError as error:
                log.error("retention could not finish its round", code=error.code, reason=error.message)
            except Exception:
                log.exception("retention failed")
            await asyncio.sleep(min(PAUSE_S, self._interval_s))
            try:
                async with asyncio.timeout(max(0.0, self._interval_s - PAUSE_S)):
                    await self._hurry.wait()
            except TimeoutError:
                continue

    def hurry(self, wanted_bytes: int) -> None:
        """The disk is full: begin a round soon that frees at least so much, if so much may go."""
        self._wanted = max(self._wanted, wanted_bytes)
        self._hurry.set()

    async def make_room(self, incoming: int) -> int:
        """Delete until `incoming` more bytes fit under the limit, as far as that may be; returns the bytes stored.

        Those who ask at once share the work: who comes later finds room already made.
        """
        deleted: Counter[str] = Counter()
        try:
            return await self._free_space(deleted, incoming=incoming)
        finally:
            _tell(deleted)

    async def run_once(self, wanted_bytes: int = 0) -> Counter[str]:
        """One round; returns how many of each kind were deleted. `wanted_bytes` is what a full disk lacks."""
        deleted: Counter[str] = Counter()
        try:
            # What is condemned first: it is free to go, and on a full disk nothing else may succeed.
            await self._remove_blobs(deleted)
            if wanted_bytes:
                await self._free_space(deleted, incoming=wanted_bytes, is_disk_full=True)
            await self._delete_runs(deleted)
            await self._delete_unused(deleted)
            await self._delete_unnamed_artifacts(deleted)
            await self._free_space(deleted)
        finally:
            _tell(deleted)
        return deleted

    def _count(self, deleted: Counter[str], kind: str, number: int) -> None:
        if number:
            deleted[kind] += number
            self._metrics.retention_deleted_total.labels(kind=kind).inc(number)

    # --------------------------------------------------------------------------------- by age
    async def _delete_runs(self, deleted: Counter[str]) -> None:
        if not self.policy.keep_runs:
            return
        before = self._now() - self.policy.keep_runs
        is_more = True
        while is_more:
            runs = await self._store.read(lambda reads: reads.runs_ended_before(before, RUNS))
            gone = 0
            for ci_run_id in runs:
                gone += await self._delete_run(ci_run_id)
            self._count(deleted, "ci_run", gone)
            is_more = len(runs) == RUNS and gone > 0

    async def _delete_run(self, ci_run_id: CiRunId) -> bool:
        """Piece by piece; whether anything was left to delete."""
        is_any = False
        while await self._store.write(lambda session: session.delete_part_of_run(ci_run_id, ROWS)):
            is_any = True
        return is_any

    async def _delete_unused(self, deleted: Counter[str]) -> None:
        now = self._now()
        if self.policy.keep_cache_entries:
            before = min(now - self.policy.keep_cache_entries, self.policy.idle_before(now))
            await self._in_pieces(
                deleted, "cache_entry", lambda session: session.delete_unused_cache_entries(before, ROWS)
            )
        forgotten = now - FORGET_TASKS_AFTER
        await self._in_pieces(
            deleted, "task_history", lambda session: session.delete_forgotten_tasks(forgotten, ROWS)
        )

    async def _in_pieces(self, deleted: Counter[str], kind: str, work: Callable[[Session], int]) -> None:
        while number := await self._store.write(work):
            self._count(deleted, kind, number)

    # ---------------------------------------------------------------------------------- artifacts
    async def _delete_unnamed_artifacts(self, deleted: Counter[str]) -> None:
        before = self.policy.idle_before(self._now())
        is_more = True
        while is_more:
            found = await self._store.read(lambda reads: reads.unnamed_artifacts(before, ARTIFACTS))
            gone = await self._delete_artifacts(found, excess_bytes=0, deleted=deleted)
            is_more = len(found) == ARTIFACTS and bool(gone)

    async def _free_space(
        self, deleted: Counter[str], *, incoming: int = 0, is_disk_full: bool = False
    ) -> int:
        # Only this is done by one at a time, lest several free the same excess; no upload waits for old runs to go.
        async with self._freeing:
            stored = await self._freed(deleted, incoming=incoming, is_disk_full=is_disk_full)
        await self._remove_blobs(deleted)
        return stored

    async def _freed(self, deleted: Counter[str], *, incoming: int, is_disk_full: bool) -> int:
        stored = await self._store.read(lambda reads: reads.artifact_bytes())
        excess = self.policy.excess_bytes(stored=stored, incoming=incoming, is_disk_full=is_disk_full)
        before = self.policy.idle_before(self._now())
        is_more = excess > 0
        while is_more:
            found = await self._store.read(lambda reads: reads.unneeded_artifacts(before, ARTIFACTS))
            gone = await self._delete_artifacts(found, excess_bytes=excess, deleted=deleted)
            freed = sum(artifact.size for artifact in gone)
            excess, stored = excess - freed, stored - freed
            is_more = excess > 0 and bool(gone)
        return stored

    async def _delete_artifacts(
        self, candidates: Sequence[Artifact], *, excess_bytes: int, deleted: Counter[str]
    ) -> tuple[Artifact, ...]:
        if not candidates:
            return ()
        now = self._now()
        before = self.policy.idle_before(now)

        def work(session: Session) -> tuple[Artifact, ...]:
            # They were found outside of this transaction: what is decided on is read again, under lock.
            idle = session.lock_idle_artifacts(candidates)
            chosen = choose(idle, idle_before=before, excess_bytes=excess_bytes)
            session.delete_artifacts(chosen, now)
            return chosen

        gone = await self._store.write(work)
        self._count(deleted, "artifact", len(gone))
        return gone

    # -------------------------------------------------------------------------------------- blobs
    async def _remove_blobs(self, deleted: Counter[str]) -> None:
        abandoned = self._now() - ABANDONED_AFTER
        if await self._store.read(lambda reads: reads.has_abandoned_blobs(abandoned)):
            await self._store.write(lambda session: session.condemn_abandoned_blobs(abandoned))
        while keys := await self._store.read(lambda reads: reads.condemned_blobs(ARTIFACTS)):
            removed = await self._removed(keys)
            await self._forget(removed)
            self._count(deleted, "blob", len(removed))
            if len(removed) < len(keys):
                return

    async def _forget(self, keys: Sequence[str]) -> None:
        await self._store.write(lambda session: session.forget_blobs(keys))

    async def _removed(self, keys: Sequence[str]) -> list[str]:
        """Remove blobs; those that the object store would not remove now are left for the next round."""
        limit = asyncio.Semaphore(REMOVALS)

        async def remove(key: str) -> None:
            async with limit:
                await self._artifacts.remove(key)

        results = await asyncio.gather(*(remove(key) for key in keys), return_exceptions=True)
        faults = [result for result in results if isinstance(result, BaseException)]
        if faults:
            log.error("blobs could not be removed", blobs=len(faults), reason=str(faults[0]))
        return [key for key, result in zip(keys, results, strict=True) if result is None]


def _tell(deleted: Counter[str]) -> None:
    if deleted:
        log.info("retention deleted", **deleted)

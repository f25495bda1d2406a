"""The cache: what Nx asks for and stores by task hash."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nx_dte.coordinator.engine import loading
from nx_dte.coordinator.engine.errors import TokenReadOnlyError
from nx_dte.coordinator.store.errors import StoreFullError
from nx_dte.model.access import TokenAccess
from nx_dte.model.cache_entry import CacheEntry, CacheScope

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import timedelta

    from nx_dte.coordinator.auth import Identity
    from nx_dte.coordinator.engine.runner import EventRunner
    from nx_dte.coordinator.engine.storage import Storage, Upload
    from nx_dte.coordinator.store.base import Reads, Session
    from nx_dte.model.ids import CiRunId, TaskHash
    from nx_dte.model.run import CiRun


class Cache:
    """Looks entries up and adds them."""

    def __init__(self, runner: EventRunner, storage: Storage, touch_every: timedelta) -> None:
        self._runner = runner
        self._storage = storage
        self._touch_every = touch_every

    async def entries(
        self, who: Identity, hashes: Collection[TaskHash], ci_run_id: CiRunId | None
    ) -> Mapping[TaskHash, CacheEntry]:
        """Entries that the run may restore; each of them stays for the grace that follows, and so does its artifact."""
        workspace_id, scope_id = who.workspace_id, ci_run_id

        def work(reads: Reads) -> Mapping[TaskHash, CacheEntry]:
            nonlocal scope_id
            if ci_run_id is not None:
                run = loading.own_run(reads.run(ci_run_id), workspace_id, "CI run", ci_run_id)
                # A trusted job never reads what an untrusted run has made, not even if it names that run.
                scope_id = ci_run_id if run.token_access is who.access else None
            return reads.cache_entries(workspace_id, hashes, scope_id)

        found = await self._runner.read(work)
        now = self._runner.now()
        stale = [entry for entry in found.values() if entry.last_used_at <= now - self._touch_every]
        if not stale:
            return found

        def touch(session: Session) -> Mapping[TaskHash, CacheEntry]:
            session.touch_artifacts(workspace_id, {entry.artifact_id for entry in stale}, now)
            session.touch_cache_entries(stale, now)
            return session.cache_entries(workspace_id, [entry.task_hash for entry in stale], scope_id)

        try:
            touched = await self._runner.write(touch)
        except StoreFullError:
            return found  # reads go on when nothing can be written, retention included
        fresh = {task_hash: entry for task_hash, entry in found.items() if entry not in stale}
        return {**fresh, **touched}

    async def add(
        self, who: Identity, task_hash: TaskHash, ci_run_id: CiRunId | None, upload: Upload
    ) -> tuple[bool, CacheScope]:
        """What Nx stores in its remote cache. Write-once; returns whether it is new, and its scope.

        Raises:
            TokenReadOnlyError: a read-only token writes only within a run.
            NoSpaceError, StoreFullError: there is no room for it.
        """
        run = None
        if ci_run_id is not None:
            known_run = await self._runner.read(lambda reads: reads.run(ci_run_id))
            run = loading.run_to_change(known_run, who, "CI run", ci_run_id)
        scope, scope_id = self._scope(who, run)
        existing = await self._runner.read(
            lambda reads: reads.cache_entries(who.workspace_id, [task_hash], ci_run_id)
        )
        known = existing.get(task_hash)
        if known is not None and (known.scope, known.scope_id) == (scope, scope_id):
            async for _ in upload.body:  # the client is sending; an unread body would cut its connection
                pass
            return False, scope
        artifact = await self._storage.add(who.workspace_id, ci_run_id, upload)
        now = self._runner.now()
        entry = CacheEntry(
            workspace_id=who.workspace_id,
            scope=scope,
            scope_id=scope_id,
            task_hash=task_hash,
            artifact_id=artifact.artifact_id,
            size=artifact.size,
            code=0,
            producer_ci_run_id=ci_run_id,
            producer_job_id=None if run is None else run.job_id,
            producer_ref=None if run is None else run.branch,
            created_at=now,
            last_used_at=now,
        )
        return await self._runner.write(lambda session: session.insert_cache_entry(entry)), scope

    @staticmethod
    def _scope(who: Identity, run: CiRun | None) -> tuple[CacheScope, str]:
        if who.access is TokenAccess.READ_WRITE:
            return CacheScope.SHARED, ""
        if run is None:
            raise TokenReadOnlyError(
                "a read-only token stores cache entries within a CI run only; name the run"
            )
        return CacheScope.RUN, run.ci_run_id

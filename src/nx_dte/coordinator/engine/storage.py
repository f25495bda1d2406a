"""Artifacts and cache entries: bytes go to the object store first, then their row is written, then they may be named."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nx_dte.coordinator.engine import loading
from nx_dte.coordinator.engine.errors import LeaseNotLiveError, TokenReadOnlyError
from nx_dte.model.access import TokenAccess
from nx_dte.model.artifact import Artifact
from nx_dte.model.cache_entry import CacheEntry, CacheScope
from nx_dte.model.ids import ArtifactId

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nx_dte.coordinator.artifacts import ArtifactService
    from nx_dte.coordinator.auth import Identity
    from nx_dte.coordinator.engine.runner import EventRunner
    from nx_dte.coordinator.store.base import Reads, Session
    from nx_dte.model.ids import CiRunId, LeaseId, TaskHash
    from nx_dte.model.run import CiRun
    from nx_dte.telemetry import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """The bytes of one archive on their way in."""

    digest: str | None
    announced_size: int | None
    body: AsyncIterator[bytes]


class Storage:
    """Takes archives in, and remembers what they are."""

    def __init__(self, runner: EventRunner, artifacts: ArtifactService, metrics: Metrics) -> None:
        self._runner = runner
        self._artifacts = artifacts
        self._metrics = metrics

    async def add_for_lease(self, who: Identity, lease_id: LeaseId, upload: Upload) -> Artifact:
        """The outputs of a task attempt, from whoever holds its lease.

        Raises:
            LeaseNotLiveError: nobody waits for them any more.
        """

        def work(reads: Reads) -> CiRun:
            lease = loading.found(reads.lease(lease_id), "lease", lease_id)
            run = loading.own_run(reads.run(lease.ci_run_id), who.workspace_id, "lease", lease_id)
            if not lease.is_live:
                raise LeaseNotLiveError(
                    f"lease {lease_id} of {lease.task_id} (attempt {lease.attempt}) is {lease.state.value}; "
                    "stop working on it"
                )
            return run

        run = await self._runner.read(work)
        return await self._add(who, run.ci_run_id, upload)

    async def add_for_run(self, who: Identity, ci_run_id: CiRunId, upload: Upload) -> Artifact:
        """Main's own local hit, which agents will need."""
        await self._own_run(who, ci_run_id)
        return await self._add(who, ci_run_id, upload)

    async def _own_run(self, who: Identity, ci_run_id: CiRunId) -> CiRun:
        run = await self._runner.read(lambda reads: reads.run(ci_run_id))
        return loading.own_run(run, who.workspace_id, "CI run", ci_run_id)

    async def _add(self, who: Identity, ci_run_id: CiRunId | None, upload: Upload) -> Artifact:
        try:
            stored = await self._artifacts.receive(
                workspace=who.workspace_id,
                digest=upload.digest,
                announced_size=upload.announced_size,
                body=upload.body,
            )
        except Exception:
            self._metrics.artifact_errors_total.labels(operation="receive").inc()
            raise
        self._metrics.artifact_bytes_total.labels(direction="in").inc(stored.size)
        artifact = Artifact(
            workspace_id=who.workspace_id,
            artifact_id=ArtifactId(stored.artifact_id),
            size=stored.size,
            created_at=self._runner.now(),
            ci_run_id=ci_run_id,
        )
        await self._runner.write(lambda session: session.insert_artifact(artifact))
        return artifact

    async def add_cache_entry(
        self, who: Identity, task_hash: TaskHash, ci_run_id: CiRunId | None, upload: Upload
    ) -> tuple[bool, CacheScope]:
        """What Nx stores in its remote cache. Write-once; returns whether it is new, and its scope.

        Raises:
            TokenReadOnlyError: a read-only token writes only within a run.
        """
        run = None if ci_run_id is None else await self._own_run(who, ci_run_id)
        scope, scope_id = self._scope(who, run)
        existing = await self._runner.read(
            lambda reads: reads.cache_entries(who.workspace_id, [task_hash], ci_run_id)
        )
        if (known := existing.get(task_hash)) is not None and (known.scope, known.scope_id) == (
            scope,
            scope_id,
        ):
            async for _ in upload.body:  # the client is sending; an unread body would cut its connection
                pass
            return False, scope
        artifact = await self._add(who, ci_run_id, upload)
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
            created_at=self._runner.now(),
        )

        def work(session: Session) -> bool:
            return session.insert_cache_entry(entry)

        return await self._runner.write(work), scope

    @staticmethod
    def _scope(who: Identity, run: CiRun | None) -> tuple[CacheScope, str]:
        if who.access is TokenAccess.READ_WRITE:
            return CacheScope.SHARED, ""
        if run is None:
            raise TokenReadOnlyError(
                "a read-only token stores cache entries within a CI run only; name the run"
            )
        return CacheScope.RUN, run.ci_run_id

    async def stream(self, artifact: Artifact) -> AsyncIterator[bytes]:
        """The archive's bytes."""
        opened = await self._artifacts.open(workspace=artifact.workspace_id, artifact_id=artifact.artifact_id)
        if opened is None:
            self._metrics.artifact_errors_total.labels(operation="send").inc()
        chunks = loading.found(opened, "content of artifact", artifact.artifact_id)
        return self._counted(chunks)

    async def _counted(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        sent = self._metrics.artifact_bytes_total.labels(direction="out")
        async for chunk in chunks:
            sent.inc(len(chunk))
            yield chunk

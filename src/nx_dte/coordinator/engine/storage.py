"""Artifacts on their way in and out: bytes go to the object store first, then their row is written, then they may be named.

What is used is touched, so that retention leaves it alone. A touch that finds its row gone takes it as gone: an answer
never names what may no longer be there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nx_dte.coordinator.artifacts import NoSpaceError
from nx_dte.coordinator.engine import loading
from nx_dte.coordinator.engine.errors import LeaseNotLiveError
from nx_dte.coordinator.store.errors import StoreFullError
from nx_dte.model.artifact import Artifact
from nx_dte.model.ids import ArtifactId

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import timedelta

    from nx_dte.coordinator.artifacts import ArtifactService, StagedUpload
    from nx_dte.coordinator.auth import Identity
    from nx_dte.coordinator.engine.runner import EventRunner
    from nx_dte.coordinator.retention import Room
    from nx_dte.coordinator.store.base import Reads, Session
    from nx_dte.model.ids import CiRunId, LeaseId, WorkspaceId
    from nx_dte.model.run import CiRun
    from nx_dte.telemetry import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """The bytes of one archive on their way in."""

    digest: str | None
    announced_size: int | None
    body: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """With what artifacts are kept."""

    artifacts: ArtifactService
    room: Room
    touch_every: timedelta
    """How much the noted time of last use may lag behind."""


class Storage:
    """Takes archives in, remembers what they are, and gives them out."""

    def __init__(self, runner: EventRunner, keeping: Keeping, metrics: Metrics) -> None:
        self._runner = runner
        self._artifacts = keeping.artifacts
        self._room = keeping.room
        self._touch_every = keeping.touch_every
        self._metrics = metrics

    # ------------------------------------------------------------------------------------------ in
    async def add_for_lease(self, who: Identity, lease_id: LeaseId, upload: Upload) -> Artifact:
        """The outputs of a task attempt, from whoever holds its lease.

        Raises:
            LeaseNotLiveError: nobody waits for them any more.
            NoSpaceError, StoreFullError: there is no room for them.
        """

        def work(reads: Reads) -> CiRun:
            lease = loading.found(reads.lease(lease_id), "lease", lease_id)
            run = loading.run_to_change(reads.run(lease.ci_run_id), who, "lease", lease_id)
            if not lease.is_live:
                raise LeaseNotLiveError(
                    f"lease {lease_id} of {lease.task_id} (attempt {lease.attempt}) is {lease.state.value}; "
                    "stop working on it"
                )
            return run

        run = await self._runner.read(work)
        return await self.add(who.workspace_id, run.ci_run_id, upload)

    async def add_for_run(self, who: Identity, ci_run_id: CiRunId, upload: Upload) -> Artifact:
        """Main's own local hit, which agents will need."""
        run = await self._runner.read(lambda reads: reads.run(ci_run_id))
        loading.run_to_change(run, who, "CI run", ci_run_id)
        return await self.add(who.workspace_id, ci_run_id, upload)

    async def add(self, workspace_id: WorkspaceId, ci_run_id: CiRunId | None, upload: Upload) -> Artifact:
        """Take in an archive for a CI run, or for none; the caller has checked who may do so.

        Raises:
            NoSpaceError, StoreFullError: there is no room for it.
        """
        try:
            if upload.announced_size is not None:
                self._artifacts.check_size(upload.announced_size)
                await self._room.admit(upload.announced_size)
            async with self._artifacts.received(
                digest=upload.digest, announced_size=upload.announced_size, body=upload.body
            ) as staged:
                if upload.announced_size is None:
                    await self._room.admit(staged.size)
                artifact = await self._keep(workspace_id, ci_run_id, staged)
        except Exception as error:
            self._metrics.artifact_errors_total.labels(operation="receive").inc()
            if isinstance(error, NoSpaceError | StoreFullError):
                self._room.disk_is_full(upload.announced_size)
            raise
        self._metrics.artifact_bytes_total.labels(direction="in").inc(artifact.size)
        return artifact

    async def _keep(
        self, workspace_id: WorkspaceId, ci_run_id: CiRunId | None, staged: StagedUpload
    ) -> Artifact:
        now = self._runner.now()
        artifact_id = ArtifactId(staged.digest)
        fresh = Artifact(
            workspace_id=workspace_id,
            artifact_id=artifact_id,
            size=staged.size,
            created_at=now,
            last_used_at=now,
            blob_key=self._artifacts.new_key(workspace=workspace_id, artifact_id=artifact_id),
            ci_run_id=ci_run_id,
        )
        known = await self._runner.read(lambda reads: reads.artifact(workspace_id, artifact_id))
        lost_blob_key = None
        if known is not None:
            if await self._artifacts.exists(known.blob_key):
                if (still_known := await self._used_again(fresh)) is not None:
                    return still_known
            else:
                lost_blob_key = known.blob_key  # somebody removed it behind our back: heal
        # Reserved before it is written: should we die in between, the blob is found and removed later.
        await self._runner.write(lambda session: session.reserve_blob(fresh.blob_key, now))
        await self._artifacts.publish(staged, fresh.blob_key)
        try:
            kept = await self._runner.write(
                lambda session: session.insert_artifact(fresh, lost_blob_key=lost_blob_key)
            )
        except StoreFullError:
            await self._artifacts.remove(fresh.blob_key)  # nothing names it, and its room is badly needed
            raise
        if kept.blob_key != fresh.blob_key:  # somebody else was faster with the same bytes
            await self._artifacts.remove(fresh.blob_key)
        return kept

    async def _used_again(self, fresh: Artifact) -> Artifact | None:
        """The artifact of the same bytes that is there already, now also one of this CI run."""
        return await self._runner.write(lambda session: session.reuse_artifact(fresh))

    # ----------------------------------------------------------------------------------------- out
    async def artifact(self, workspace_id: WorkspaceId, artifact_id: ArtifactId) -> Artifact:
        """An artifact of the workspace, which will stay for as long as it takes to download it."""
        found = await self._runner.read(lambda reads: reads.artifact(workspace_id, artifact_id))
        artifact = loading.found(found, "artifact", artifact_id)
        now = self._runner.now()
        if artifact.last_used_at > now - self._touch_every:
            return artifact

        def work(session: Session) -> Artifact | None:
            session.touch_artifacts(workspace_id, [artifact_id], now)
            return session.artifact(workspace_id, artifact_id)

        try:
            touched = await self._runner.write(work)
        except StoreFullError:
            return artifact  # reads go on when nothing can be written, retention included
        return loading.found(touched, "artifact", artifact_id)

    async def stream(self, artifact: Artifact) -> AsyncIterator[bytes]:
        """The archive's bytes."""
        opened = await self._artifacts.open(artifact.blob_key)
        if opened is None:
            self._metrics.artifact_errors_total.labels(operation="send").inc()
        chunks = loading.found(opened, "content of artifact", artifact.artifact_id)
        return self._counted(chunks)

    async def _counted(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        sent = self._metrics.artifact_bytes_total.labels(direction="out")
        async for chunk in chunks:
            sent.inc(len(chunk))
            yield chunk

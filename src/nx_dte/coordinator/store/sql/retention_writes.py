"""Deleting in bounded pieces, and keeping what is in use from being deleted.

Rows are locked in one order: artifacts, by id, before their cache entries; who deletes skips artifacts that somebody
holds. So deletion never waits for a CI run, and never makes one wait for more than its own small transaction.
"""
# ruff: noqa: D102 - the port in store/retention.py documents them

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import ColumnElement, Table, and_, delete, or_, select, tuple_, update

from nx_dte.coordinator.store.errors import BlobNotReservedError, ConflictError
from nx_dte.coordinator.store.sql import mapping, tables
from nx_dte.coordinator.store.sql.reads import chunks
from nx_dte.coordinator.store.sql.retention_reads import IS_NAMED, IS_NEEDED
from nx_dte.coordinator.store.sql.task_reads import pick
from nx_dte.coordinator.store.sql.writes import SqlSession
from nx_dte.model.artifact import Artifact, IdleArtifact
from nx_dte.model.cache_entry import CacheScope

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime

    from nx_dte.model.cache_entry import CacheEntry
    from nx_dte.model.ids import ArtifactId, CiRunId, WorkspaceId

_ARTIFACTS, _CACHE, _LOOSE = tables.artifacts.c, tables.cache_entries.c, tables.loose_blobs.c
_INVOCATIONS = tables.invocations


def _of_run(table: Table) -> Callable[[CiRunId], ColumnElement[bool]]:
    return lambda ci_run_id: table.c.ci_run_id == ci_run_id


def _of_invocations(table: Table) -> Callable[[CiRunId], ColumnElement[bool]]:
    def condition(ci_run_id: CiRunId) -> ColumnElement[bool]:
        own = select(_INVOCATIONS.c.invocation_id).where(_INVOCATIONS.c.ci_run_id == ci_run_id)
        return table.c.invocation_id.in_(own)

    return condition


def _own_entries(ci_run_id: CiRunId) -> ColumnElement[bool]:
    workspace = select(tables.ci_runs.c.workspace_id).where(tables.ci_runs.c.ci_run_id == ci_run_id)
    return and_(
        _CACHE.workspace_id == workspace.scalar_subquery(),
        _CACHE.scope == CacheScope.RUN.value,
        _CACHE.scope_id == ci_run_id,
    )


# What refers to something goes before it, so that no deletion has to look for what refers to it in vain.
RUN_PARTS: tuple[tuple[Table, Callable[[CiRunId], ColumnElement[bool]]], ...] = (
    (tables.cache_entries, _own_entries),
    (tables.events, _of_run(tables.events)),
    (tables.records, _of_run(tables.records)),
    (tables.leases, _of_run(tables.leases)),
    (tables.task_dependencies, _of_invocations(tables.task_dependencies)),
    (tables.tasks, _of_run(tables.tasks)),
    (tables.invocation_payloads, _of_invocations(tables.invocation_payloads)),
    (tables.invocations, _of_run(tables.invocations)),
    (tables.agents, _of_run(tables.agents)),
    (tables.ci_run_jobs, _of_run(tables.ci_run_jobs)),
    (tables.ci_runs, _of_run(tables.ci_runs)),
)


class RetainingSession(SqlSession):
    """A session that also knows what `RetentionChanges` of the port asks."""

    # ------------------------------------------------------------------------------------- keeping
    def keep_artifacts(self, workspace_id: WorkspaceId, artifact_ids: Collection[ArtifactId]) -> None:
        for chunk in chunks(artifact_ids):
            chosen = select(_ARTIFACTS.artifact_id).where(
                _ARTIFACTS.workspace_id == workspace_id, _ARTIFACTS.artifact_id.in_(chunk)
            )
            ordered = chosen.order_by(_ARTIFACTS.artifact_id).with_for_update(key_share=True, read=True)
            self._connection.execute(ordered).all()

    def touch_artifacts(
        self, workspace_id: WorkspaceId, artifact_ids: Collection[ArtifactId], at: datetime
    ) -> None:
        for chunk in chunks(artifact_ids):
            chosen = and_(_ARTIFACTS.workspace_id == workspace_id, _ARTIFACTS.artifact_id.in_(chunk))
            ordered = select(_ARTIFACTS.artifact_id).where(chosen).order_by(_ARTIFACTS.artifact_id)
            self._connection.execute(ordered.with_for_update(key_share=True)).all()
            self._write(update(tables.artifacts).where(chosen).values(last_used_at=at))

    def touch_cache_entries(self, entries: Sequence[CacheEntry], at: datetime) -> None:
        for entry in sorted(entries, key=lambda entry: (entry.task_hash, entry.scope, entry.scope_id)):
            chosen = and_(
                _CACHE.workspace_id == entry.workspace_id,
                _CACHE.scope == entry.scope,
                _CACHE.scope_id == entry.scope_id,
                _CACHE.task_hash == entry.task_hash,
            )
            self._write(update(tables.cache_entries).where(chosen).values(last_used_at=at))

    # ---------------------------------------------------------------------------------- artifacts
    def insert_artifact(self, artifact: Artifact, *, lost_blob_key: str | None) -> Artifact:
        self.ensure_workspace(artifact.workspace_id, artifact.created_at)
        self._write(
            self._upserts.artifact, {**mapping.ARTIFACT.write(artifact), "lost_blob_key": lost_blob_key}
        )
        kept = self.artifact(artifact.workspace_id, artifact.artifact_id)
        if kept is None:
            raise ConflictError(f"artifact {artifact.artifact_id} was deleted meanwhile; try again")
        loose = tables.loose_blobs
        reserved = and_(_LOOSE.blob_key == artifact.blob_key, _LOOSE.is_condemned.is_(False))
        if kept.blob_key == artifact.blob_key:
            released = self._write(delete(loose).where(reserved))
        else:
            released = self._write(update(loose).where(reserved).values(is_condemned=True))
        if not released:
            raise BlobNotReservedError(
                f"the upload of artifact {artifact.artifact_id} took too long to be kept; upload it again"
            )
        return kept

    def reuse_artifact(self, artifact: Artifact) -> Artifact | None:
        uploaded_for = _ARTIFACTS.ci_run_id if artifact.ci_run_id is None else artifact.ci_run_id
        reused = update(tables.artifacts).where(_these([artifact]))
        self._write(reused.values(last_used_at=artifact.last_used_at, ci_run_id=uploaded_for))
        return self.artifact(artifact.workspace_id, artifact.artifact_id)

    def artifacts(
        self, workspace_id: WorkspaceId, artifact_ids: Collection[ArtifactId]
    ) -> Mapping[ArtifactId, Artifact]:
        # Who reads them in a transaction is about to refer to them.
        self.keep_artifacts(workspace_id, artifact_ids)
        return super().artifacts(workspace_id, artifact_ids)

    def lock_idle_artifacts(self, artifacts: Collection[Artifact]) -> tuple[IdleArtifact, ...]:
        if not artifacts:
            return ()
        chosen = _these(artifacts)
        lock = select(_ARTIFACTS.workspace_id, _ARTIFACTS.artifact_id).where(chosen)
        ordered = lock.order_by(_ARTIFACTS.workspace_id, _ARTIFACTS.artifact_id)
        locked = {tuple(row) for row in self._connection.execute(ordered.with_for_update(skip_locked=True))}
        # A statement of its own: it sees what others committed until the rows were locked.
        facts = pick(mapping.ARTIFACT).add_columns(IS_NEEDED, IS_NAMED).where(chosen)
        width = len(mapping.ARTIFACT.columns)
        found = (
            IdleArtifact(
                artifact=mapping.ARTIFACT.read(row[:width]),
                is_needed=bool(row[width]),
                is_named=bool(row[width + 1]),
            )
            for row in self._connection.execute(facts)
        )
        return tuple(idle for idle in found if _key(idle.artifact) in locked)

    def delete_artifacts(self, artifacts: Collection[Artifact], at: datetime) -> None:
        if not artifacts:
            return
        of_them = or_(
            *(
                and_(_CACHE.workspace_id == artifact.workspace_id, _CACHE.artifact_id == artifact.artifact_id)
                for artifact in artifacts
            )
        )
        self._write(delete(tables.cache_entries).where(of_them))
        self._write(delete(tables.artifacts).where(_these(artifacts)))
        rows = [{"blob_key": artifact.blob_key, "is_condemned": True, "since": at} for artifact in artifacts]
        self._write(tables.loose_blobs.insert(), rows)

    # ---------------------------------------------------------------------------- runs and the rest
    def delete_part_of_run(self, ci_run_id: CiRunId, limit: int) -> int:
        for table, belongs in RUN_PARTS:
            if deleted := self._delete_some(table, belongs(ci_run_id), limit):
                return deleted
        return 0

    def delete_unused_cache_entries(self, used_before: datetime, limit: int) -> int:
        unused = and_(_CACHE.scope == CacheScope.SHARED.value, _CACHE.last_used_at < used_before)
        return self._delete_some(tables.cache_entries, unused, limit)

    def delete_forgotten_tasks(self, learned_before: datetime, limit: int) -> int:
        for table in (tables.task_durations, tables.task_hash_outcomes):
            if deleted := self._delete_some(table, table.c.updated_at < learned_before, limit):
                return deleted
        return 0

    def _delete_some(self, table: Table, condition: ColumnElement[bool], limit: int) -> int:
        """Delete up to `limit` rows; neither database knows DELETE with a limit."""
        key = list(table.primary_key.columns)
        some = select(*key).where(condition).limit(limit).with_for_update(skip_locked=True)
        if len(key) == 1:
            return self._write(delete(table).where(key[0].in_(some)))
        return self._write(delete(table).where(tuple_(*key).in_(some)))

    # --------------------------------------------------------------------------------------- blobs
    def reserve_blob(self, blob_key: str, at: datetime) -> None:
        self._write(tables.loose_blobs.insert(), [{"blob_key": blob_key, "is_condemned": False, "since": at}])

    def condemn_abandoned_blobs(self, reserved_before: datetime) -> int:
        abandoned = and_(_LOOSE.is_condemned.is_(False), _LOOSE.since < reserved_before)
        return self._write(update(tables.loose_blobs).where(abandoned).values(is_condemned=True))

    def forget_blobs(self, blob_keys: Collection[str]) -> None:
        for chunk in chunks(blob_keys):
            self._write(delete(tables.loose_blobs).where(_LOOSE.is_condemned, _LOOSE.blob_key.in_(chunk)))


def _key(artifact: Artifact) -> tuple[str, str]:
    return artifact.workspace_id, artifact.artifact_id


def _these(artifacts: Collection[Artifact]) -> ColumnElement[bool]:
    """By key; the caller passes no more than one statement takes."""
    return or_(
        *(
            and_(
                _ARTIFACTS.workspace_id == artifact.workspace_id,
                _ARTIFACTS.artifact_id == artifact.artifact_id,
            )
            for artifact in artifacts
        )
    )

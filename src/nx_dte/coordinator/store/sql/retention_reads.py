"""The named questions about what may be deleted."""
# ruff: noqa: D102 - the port in store/retention.py documents them

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Exists, bindparam, exists, func, select

from nx_dte.coordinator.store.sql import mapping, tables
from nx_dte.coordinator.store.sql.task_reads import TaskReads, pick

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import ColumnElement

    from nx_dte.model.artifact import Artifact
    from nx_dte.model.ids import CiRunId

_RUNS, _TASKS, _CACHE = tables.ci_runs.c, tables.tasks.c, tables.cache_entries.c
_ARTIFACTS, _LOOSE = tables.artifacts.c, tables.loose_blobs.c


def _task(*conditions: ColumnElement[bool]) -> Exists:
    of_workspace = _RUNS.workspace_id == _ARTIFACTS.workspace_id
    return exists().where(
        _TASKS.artifact_id == _ARTIFACTS.artifact_id,
        _RUNS.ci_run_id == _TASKS.ci_run_id,
        of_workspace,
        *conditions,
    )


def _uploader(*conditions: ColumnElement[bool]) -> Exists:
    return exists().where(_RUNS.ci_run_id == _ARTIFACTS.ci_run_id, *conditions)


IS_NEEDED = _task(tables.LIVE_RUN) | _uploader(tables.LIVE_RUN)
IS_NAMED = (
    exists().where(
        _CACHE.workspace_id == _ARTIFACTS.workspace_id, _CACHE.artifact_id == _ARTIFACTS.artifact_id
    )
    | _task()
    | _uploader()
)
_IDLE = (
    pick(mapping.ARTIFACT)
    .where(_ARTIFACTS.last_used_at < bindparam("used_before"))
    .order_by(_ARTIFACTS.last_used_at)
    .limit(bindparam("how_many"))
)
UNNAMED = _IDLE.where(~IS_NAMED)
UNNEEDED = _IDLE.where(~IS_NEEDED)
ENDED_BEFORE = (
    select(_RUNS.ci_run_id)
    .where(_RUNS.ended_at < bindparam("moment"))
    .order_by(_RUNS.ended_at)
    .limit(bindparam("how_many"))
)
CONDEMNED = (
    select(_LOOSE.blob_key)
    .where(_LOOSE.is_condemned)
    .order_by(_LOOSE.since, _LOOSE.blob_key)
    .limit(bindparam("how_many"))
)
HAS_ABANDONED = select(exists().where(_LOOSE.is_condemned.is_(False), _LOOSE.since < bindparam("moment")))
TOTAL_BYTES = select(func.coalesce(func.sum(_ARTIFACTS.size), 0))


class RetentionReads(TaskReads):
    """`RetentionReads` of the port, on one connection."""

    def runs_ended_before(self, moment: datetime, limit: int) -> tuple[CiRunId, ...]:
        rows = self._connection.execute(ENDED_BEFORE, {"moment": moment, "how_many": limit})
        return tuple(row[0] for row in rows)

    def unnamed_artifacts(self, used_before: datetime, limit: int) -> tuple[Artifact, ...]:
        return self._all(mapping.ARTIFACT, UNNAMED, used_before=used_before, how_many=limit)

    def unneeded_artifacts(self, used_before: datetime, limit: int) -> tuple[Artifact, ...]:
        return self._all(mapping.ARTIFACT, UNNEEDED, used_before=used_before, how_many=limit)

    def artifact_bytes(self) -> int:
        return int(self._connection.execute(TOTAL_BYTES).scalar_one())

    def has_abandoned_blobs(self, reserved_before: datetime) -> bool:
        return bool(self._connection.execute(HAS_ABANDONED, {"moment": reserved_before}).scalar_one())

    def condemned_blobs(self, limit: int) -> tuple[str, ...]:
        return tuple(row[0] for row in self._connection.execute(CONDEMNED, {"how_many": limit}))

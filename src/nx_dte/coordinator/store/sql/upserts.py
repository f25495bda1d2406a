"""INSERT ... ON CONFLICT, built once for each dialect: building such a statement costs more than running it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from sqlalchemy import Text, bindparam, case, func, or_

from nx_dte.coordinator.store.sql import tables
from nx_dte.coordinator.store.sql.dialect import insert

if TYPE_CHECKING:
    from nx_dte.coordinator.store.sql.dialect import Insert

LEARNING_RATE = 0.5  # the newest duration counts half: code changes faster than noise averages out


@dataclass(frozen=True, slots=True, kw_only=True)
class Upserts:
    """The statements."""

    workspace: Insert
    main_job: Insert
    artifact: Insert
    cache_entry: Insert
    duration: Insert
    hash_outcome: Insert


def _artifact(dialect_name: str) -> Insert:
    """An existing row wins and is used anew; but a blob that was looked for and not found is replaced."""
    fresh = insert(dialect_name, tables.artifacts)
    known = tables.artifacts.c
    lost = known.blob_key == bindparam("lost_blob_key", type_=Text)
    return fresh.on_conflict_do_update(
        index_elements=["workspace_id", "artifact_id"],
        set_={
            "last_used_at": fresh.excluded.last_used_at,
            "ci_run_id": func.coalesce(fresh.excluded.ci_run_id, known.ci_run_id),
            "blob_key": case((lost, fresh.excluded.blob_key), else_=known.blob_key),
        },
    )


@cache
def upserts(dialect_name: str) -> Upserts:
    """The statements of one dialect."""
    main_job = insert(dialect_name, tables.ci_run_jobs)
    duration = insert(dialect_name, tables.task_durations)
    known = tables.task_durations.c
    outcome, seen = insert(dialect_name, tables.task_hash_outcomes), tables.task_hash_outcomes.c
    return Upserts(
        workspace=insert(dialect_name, tables.workspaces).on_conflict_do_nothing(),
        main_job=main_job.on_conflict_do_update(
            index_elements=["ci_run_id", "job_id"],
            set_={"joined_at": main_job.excluded.joined_at, "left_at": main_job.excluded.left_at},
        ),
        artifact=_artifact(dialect_name),
        cache_entry=insert(dialect_name, tables.cache_entries).on_conflict_do_nothing(),
        duration=duration.on_conflict_do_update(
            index_elements=["workspace_id", "target", "project", "configuration"],
            set_={
                "duration_s": known.duration_s
                + LEARNING_RATE * (duration.excluded.duration_s - known.duration_s),
                "samples": known.samples + 1,
                "updated_at": duration.excluded.updated_at,
            },
        ),
        hash_outcome=outcome.on_conflict_do_update(
            index_elements=["workspace_id", "task_hash"],
            set_={
                "has_succeeded": or_(seen.has_succeeded, outcome.excluded.has_succeeded),
                "has_failed": or_(seen.has_failed, outcome.excluded.has_failed),
                "updated_at": outcome.excluded.updated_at,
            },
        ),
    )

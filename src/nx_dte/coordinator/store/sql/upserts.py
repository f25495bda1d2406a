"""INSERT ... ON CONFLICT, built once for each dialect: building such a statement costs more than running it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

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


@cache
def upserts(dialect_name: str) -> Upserts:
    """The statements of one dialect."""
    main_job = insert(dialect_name, tables.ci_run_jobs)
    duration = insert(dialect_name, tables.task_durations)
    known = tables.task_durations.c
    return Upserts(
        workspace=insert(dialect_name, tables.workspaces).on_conflict_do_nothing(),
        main_job=main_job.on_conflict_do_update(
            index_elements=["ci_run_id", "job_id"],
            set_={"joined_at": main_job.excluded.joined_at, "left_at": main_job.excluded.left_at},
        ),
        artifact=insert(dialect_name, tables.artifacts).on_conflict_do_nothing(),
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
    )

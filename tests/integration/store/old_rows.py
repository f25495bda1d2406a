"""A row for every table, as a coordinator of any version would have written it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from nx_dte.coordinator.store.sql import tables

if TYPE_CHECKING:
    from sqlalchemy import Connection

AT = datetime(2025, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)
DIGEST = "ab" * 32
_RUN: dict[str, Any] = {"workspace_id": "w", "ci_run_id": "R"}
_TASK: dict[str, Any] = {
    "ci_run_id": "R",
    "invocation_id": "I",
    "configuration": None,
    "is_cacheable": True,
    "is_noop": False,
}
_TASK |= {"target": "build", "runs_alone": False, "outputs": ["dist"], "lost_attempts": 0, "priority_s": 1.5}

# What a version does not know yet is left out; what it knows and is not here must have a default there.
ROWS: dict[str, list[dict[str, Any]]] = {
    "workspaces": [{"workspace_id": "w", "created_at": AT}],
    "tokens": [
        {
            "token_id": "T",
            "workspace_id": "w",
            "access": "read-write",
            "token_sha256": "cd" * 32,
            "created_at": AT,
            "expires_at": None,
            "revoked_at": AT,
        }
    ],
    "artifacts": [
        {
            "workspace_id": "w",
            "artifact_id": DIGEST,
            "size": 5_000_000_000,
            "created_at": AT,
            "ci_run_id": "R",
        }
    ],
    "loose_blobs": [{"blob_key": "w/ab/loose", "is_condemned": True, "since": AT}],
    "ci_runs": [
        _RUN
        | {
            "ci_id": "4711",
            "environment": "",
            "attempt": 1,
            "token_access": "read-write",
            "job_id": "9",
            "branch": "main",
            "commit": "c0ffee",
            "nx_version": "20.8.4",
            "distribute_on": "manual",
            "distribute_by_default": True,
            "stop_agents_after": ["e2e"],
            "stop_agents_on_failure": True,
            "require_explicit_completion": False,
            "state": "open",
            "outcome": None,
            "reason": None,
            "is_failed": False,
            "is_completed": False,
            "stop_targets_finished": [],
            "running_invocations": 1,
            "sequence": 2,
            "created_at": AT,
            "main_seen_at": AT,
            "ended_at": None,
        }
    ],
    "ci_run_jobs": [{"ci_run_id": "R", "job_id": "9", "joined_at": AT, "left_at": None}],
    "invocations": [
        {
            "invocation_id": "I",
            "ci_run_id": "R",
            "invocation_key": "k",
            "command": "nx build",
            "targets": ["build"],
            "configuration": None,
            "parallel": 2,
            "nx_bail": False,
            "skip_nx_cache": False,
            "state": "running",
            "outcome": None,
            "cancel_reason": None,
            "has_bailed": False,
            "tasks_total": 2,
            "tasks_unfinished": 1,
            "tasks_failed": 0,
            "live_leases": 1,
            "created_at": AT,
            "ended_at": None,
        }
    ],
    "invocation_payloads": [
        {"invocation_id": "I", "compression": "zlib", "payload": b"x\x9c\x03\x00\x00\x00\x00\x01"}
    ],
    "agents": [
        {
            "agent_id": "A",
            "ci_run_id": "R",
            "agent_key": "a",
            "name": "agent-1",
            "instance": "1",
            "kind": "linux",
            "job_id": "10",
            "commit": "c0ffee",
            "nx_version": "20.8.4",
            "is_main": False,
            "state": "joined",
            "joined_at": AT,
            "seen_at": AT,
            "left_at": None,
            "left_reason": None,
        }
    ],
    "tasks": [
        _TASK
        | {
            "task_id": "a:build",
            "project": "a",
            "task_hash": "h1",
            "dependencies": [],
            "state": "finished",
            "outcome": "succeeded",
            "reason": None,
            "code": 0,
            "nx_status": "success",
            "artifact_id": DIGEST,
            "artifact_size": 5_000_000_000,
            "attempt": 2,
            "unfinished_dependencies": 0,
            "agent_id": "A",
            "agent_name": "agent-1",
            "ready_at": AT,
            "leased_at": AT,
            "started_at": AT,
            "ended_at": AT,
        },
        _TASK
        | {
            "task_id": "b:build",
            "project": "b",
            "task_hash": None,
            "dependencies": ["a:build"],
            "state": "leased",
            "outcome": None,
            "reason": None,
            "code": None,
            "nx_status": None,
            "artifact_id": None,
            "artifact_size": None,
            "attempt": 1,
            "unfinished_dependencies": 0,
            "agent_id": "A",
            "agent_name": "agent-1",
            "ready_at": AT,
            "leased_at": AT,
            "started_at": None,
            "ended_at": None,
        },
    ],
    "task_dependencies": [{"invocation_id": "I", "task_id": "b:build", "dependency_id": "a:build"}],
    "leases": [
        {
            "lease_id": "L",
            "ci_run_id": "R",
            "invocation_id": "I",
            "task_id": "b:build",
            "agent_id": "A",
            "attempt": 1,
            "runs_alone": False,
            "state": "live",
            "granted_at": AT,
            "expires_at": AT,
            "ended_at": None,
        }
    ],
    "records": [
        {
            "record_id": "C",
            "ci_run_id": "R",
            "record_key": "r",
            "command": "format:check",
            "code": 1,
            "terminal_output": "no ünïcode\n",
            "started_at": AT,
            "ended_at": AT,
        }
    ],
    "cache_entries": [
        {
            "workspace_id": "w",
            "scope": "shared",
            "scope_id": "",
            "task_hash": "h1",
            "artifact_id": DIGEST,
            "size": 5_000_000_000,
            "code": 0,
            "producer_ci_run_id": "R",
            "producer_job_id": "10",
            "producer_ref": "main",
            "created_at": AT,
        }
    ],
    "task_durations": [
        {
            "workspace_id": "w",
            "project": "a",
            "target": "build",
            "configuration": "",
            "duration_s": 2.5,
            "samples": 3,
            "updated_at": AT,
        }
    ],
    "task_hash_outcomes": [
        {"workspace_id": "w", "task_hash": "h1", "has_succeeded": True, "has_failed": True, "updated_at": AT}
    ],
    "events": [
        {
            "ci_run_id": "R",
            "sequence": sequence,
            "at": AT,
            "kind": kind,
            "message": f"{kind}.",
            "reason": None,
            "invocation_id": "I",
            "task_id": "a:build" if kind == "task_finished" else None,
            "attempt": None,
            "agent_id": None,
            "agent_name": None,
            "lease_id": None,
            "result": None,
        }
        for sequence, kind in ((1, "invocation_submitted"), (2, "task_finished"))
    ],
}
MADE_BY_MIGRATIONS = {"presence"}


def fill(connection: Connection) -> dict[str, list[dict[str, Any]]]:
    """Write all rows that fit the schema as it is now; returns them, as they were written."""
    written = {}
    inspector = sa.inspect(connection)
    there = set(inspector.get_table_names())
    for table in tables.metadata.sorted_tables:
        if table.name not in there or table.name not in ROWS:
            continue
        known = {column["name"] for column in inspector.get_columns(table.name)}
        rows = [{name: value for name, value in row.items() if name in known} for row in ROWS[table.name]]
        connection.execute(as_it_is(table, set(rows[0])).insert(), rows)
        written[table.name] = rows
    return written


def as_it_is(table: sa.Table, names: set[str]) -> sa.TableClause:
    """The table with some of its columns only, so that no others are spoken of."""
    return sa.table(
        table.name, *(sa.column(column.name, column.type) for column in table.c if column.name in names)
    )


def read_back(
    connection: Connection, written: dict[str, list[dict[str, Any]]]
) -> dict[str, list[dict[str, Any]]]:
    """The same columns of the same tables, as they are now."""
    found = {}
    for name, rows in written.items():
        narrowed = as_it_is(tables.metadata.tables[name], set(rows[0]))
        now = [dict(row._mapping) for row in connection.execute(sa.select(narrowed))]
        found[name] = [row for row in rows if row in now] + [row for row in now if row not in rows]
    return found

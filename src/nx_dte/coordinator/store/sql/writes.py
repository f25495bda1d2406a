"""The named changes. A change that would overwrite something newer is refused: see `_update`."""
# ruff: noqa: D102 - the port in store/base.py documents them

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import and_, bindparam, select, update

from nx_dte.coordinator.store.errors import ConflictError
from nx_dte.coordinator.store.sql import mapping, presence, tables
from nx_dte.coordinator.store.sql.reads import NEWEST_RUN, SqlReads
from nx_dte.coordinator.store.sql.task_reads import pick
from nx_dte.coordinator.store.sql.upserts import upserts

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime, timedelta

    from sqlalchemy import ColumnElement, Connection, Executable, Table, Update

    from nx_dte.model.access import Token
    from nx_dte.model.agent import Agent
    from nx_dte.model.cache_entry import CacheEntry
    from nx_dte.model.duration import DurationKey
    from nx_dte.model.event import Event
    from nx_dte.model.ids import AgentId, CiRunId, InvocationId, LeaseId, TaskHash, TokenId, WorkspaceId
    from nx_dte.model.invocation import Invocation
    from nx_dte.model.lease import Lease
    from nx_dte.model.record import Record
    from nx_dte.model.run import CiRun, MainJob
    from nx_dte.model.task import Task

V = TypeVar("V")
COMPRESSION = "zlib"
_RUN_ID = tables.ci_runs.c.ci_run_id
_AT_ONCE = 500  # rows of one statement: their parameters exist several times over while it runs
_NEW = "new_"  # prefix of a new value's parameter, so that it never collides with a column of the WHERE


def batched(values: Sequence[V]) -> Iterator[Sequence[V]]:
    """The values in pieces that one statement takes; of none there is no piece."""
    for start in range(0, len(values), _AT_ONCE):
        yield values[start : start + _AT_ONCE]


def _update(
    table: Table, key: Sequence[str], changing: Sequence[str], *guards: ColumnElement[bool]
) -> Update:
    """UPDATE by key, only while the guards hold: what is final or newer is never overwritten."""
    return (
        update(table)
        .where(*(table.c[name] == bindparam(_NEW + name) for name in key), *guards)
        .values({name: bindparam(_NEW + name) for name in changing})
    )


def _all_but(table: Table, *key: str) -> list[str]:
    return [column.name for column in table.c if column.name not in key]


UPDATE_RUN = _update(
    tables.ci_runs,
    ["ci_run_id"],
    _all_but(tables.ci_runs, "ci_run_id", "workspace_id", "ci_id", "environment", "attempt", "created_at"),
    tables.ci_runs.c.sequence <= bindparam(_NEW + "sequence"),
)
UPDATE_INVOCATION = _update(
    tables.invocations,
    ["invocation_id"],
    [
        "state",
        "outcome",
        "cancel_reason",
        "has_bailed",
        "tasks_total",
        "tasks_unfinished",
        "tasks_failed",
        "tasks_cancelled",
        "live_leases",
        "ended_at",
    ],
)
_TASK_CONSTANTS = (
    "ci_run_id",
    "project",
    "target",
    "configuration",
    "outputs",
    "dependencies",
    "priority_s",
    "expected_s",
)
UPDATE_TASK = _update(
    tables.tasks,
    ["invocation_id", "task_id"],
    _all_but(tables.tasks, "invocation_id", "task_id", *_TASK_CONSTANTS),
    tables.tasks.c.state != "finished",
    tables.tasks.c.attempt <= bindparam(_NEW + "attempt"),
)
UPDATE_AGENT = _update(
    tables.agents, ["agent_id"], _all_but(tables.agents, "agent_id", "ci_run_id", "agent_key", "joined_at")
)
UPDATE_LEASE = _update(
    tables.leases,
    ["lease_id"],
    ["state", "expires_at", "slow_noted_at", "reported", "ended_at"],
    tables.LIVE_LEASE,
)


class SqlSession(SqlReads):
    """`Session` on one connection; every change is written at once."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._upserts = upserts(connection.dialect.name)

    # -------------------------------------------------------------------------------------- locking
    def lock_run(self, ci_run_id: CiRunId) -> CiRun | None:
        return self._one(mapping.CI_RUN, LOCK_RUN, ci_run_id=ci_run_id)

    def lock_newest_run(self, workspace_id: WorkspaceId, ci_id: str, environment: str) -> CiRun | None:
        return self._one(
            mapping.CI_RUN, LOCK_NEWEST_RUN, workspace_id=workspace_id, ci_id=ci_id, environment=environment
        )

    def lock_run_of_agent(self, agent_id: AgentId) -> CiRun | None:
        return self._one(mapping.CI_RUN, LOCK_RUN_OF_AGENT, agent_id=agent_id)

    def lock_run_of_invocation(self, invocation_id: InvocationId) -> CiRun | None:
        return self._one(mapping.CI_RUN, LOCK_RUN_OF_INVOCATION, invocation_id=invocation_id)

    def lock_run_of_lease(self, lease_id: LeaseId) -> CiRun | None:
        return self._one(mapping.CI_RUN, LOCK_RUN_OF_LEASE, lease_id=lease_id)

    # --------------------------------------------------------------------------------- how to write
    def _write(self, statement: Executable, rows: Any = None) -> int:
        """The one place where anything is changed; returns how many rows were."""
        # Without the option the count of an INSERT is not known on PostgreSQL.
        return self._connection.execute(
            statement, rows, execution_options={"preserve_rowcount": True}
        ).rowcount

    def _insert(self, mapper: mapping.Mapper[Any], table: Table, values: Sequence[Any]) -> None:
        statement = table.insert()
        for some in batched(values):
            self._write(statement, [mapper.write(value) for value in some])

    def _change(self, mapper: mapping.Mapper[Any], statement: Update, values: Sequence[Any]) -> None:
        for some in batched(values):
            rows = [{_NEW + name: new for name, new in mapper.write(value).items()} for value in some]
            changed = self._write(statement, rows)
            if changed != len(rows):
                raise ConflictError(f"{len(rows) - changed} of {len(rows)} changes came too late; try again")

    # --------------------------------------------------------------------------------- runs, records
    def insert_run(self, run: CiRun) -> None:
        self.ensure_workspace(run.workspace_id, run.created_at)
        self._insert(mapping.CI_RUN, tables.ci_runs, [run])

    def update_run(self, run: CiRun) -> None:
        self._change(mapping.CI_RUN, UPDATE_RUN, [run])

    def upsert_main_job(self, main_job: MainJob) -> None:
        self._write(self._upserts.main_job, mapping.MAIN_JOB.write(main_job))

    def insert_record(self, record: Record) -> None:
        self._insert(mapping.RECORD, tables.records, [record])

    # ----------------------------------------------------------------------------------- invocations
    def insert_invocation(self, invocation: Invocation) -> None:
        self._insert(mapping.INVOCATION, tables.invocations, [invocation])

    def update_invocation(self, invocation: Invocation) -> None:
        self._change(mapping.INVOCATION, UPDATE_INVOCATION, [invocation])

    def insert_payload(self, invocation_id: InvocationId, payload: str) -> None:
        row = {
            "invocation_id": invocation_id,
            "compression": COMPRESSION,
            "payload": zlib.compress(payload.encode(), level=1),
        }
        self._write(tables.invocation_payloads.insert(), row)

    # ----------------------------------------------------------------------------------------- tasks
    def insert_tasks(self, tasks: Sequence[Task]) -> None:
        self._insert(mapping.TASK, tables.tasks, tasks)
        statement = tables.task_dependencies.insert()
        for some in batched(tasks):
            edges = [
                {"invocation_id": task.invocation_id, "task_id": task.task_id, "dependency_id": dependency}
                for task in some
                for dependency in sorted(set(task.dependencies))
            ]
            if edges:
                self._write(statement, edges)

    def update_tasks(self, tasks: Sequence[Task]) -> None:
        self._change(mapping.TASK, UPDATE_TASK, tasks)

    # ------------------------------------------------------------------------------ agents and leases
    def insert_agent(self, agent: Agent) -> None:
        self._insert(mapping.AGENT, tables.agents, [agent])

    def update_agent(self, agent: Agent) -> None:
        self._change(mapping.AGENT, UPDATE_AGENT, [agent])

    def insert_leases(self, leases: Sequence[Lease]) -> None:
        self._insert(mapping.LEASE, tables.leases, leases)

    def update_leases(self, leases: Sequence[Lease]) -> None:
        self._change(mapping.LEASE, UPDATE_LEASE, leases)

    # -------------------------------------------------------------------------------------- presence
    def lock_presence(self) -> datetime:
        at_work_at: datetime = self._connection.execute(presence.LOCK_PRESENCE).scalar_one()
        return at_work_at

    def note_presence(self, now: datetime, *, if_live: bool) -> None:
        self._write(presence.NOTE_PRESENCE_IF_LIVE if if_live else presence.NOTE_PRESENCE, {"now": now})

    def move_deadlines(self, by: timedelta, now: datetime, lease_expires_at: datetime) -> int:
        return presence.move_deadlines(self._connection, by, now, lease_expires_at)

    # ------------------------------------------------------------------------- artifacts, cache, rest
    def insert_cache_entry(self, entry: CacheEntry) -> bool:
        return self._write(self._upserts.cache_entry, mapping.CACHE_ENTRY.write(entry)) == 1

    def insert_cache_entries(self, entries: Sequence[CacheEntry]) -> None:
        if entries:
            self._write(self._upserts.cache_entry, [mapping.CACHE_ENTRY.write(entry) for entry in entries])

    def learn_durations(
        self, learned: Sequence[tuple[WorkspaceId, DurationKey, float]], at: datetime
    ) -> None:
        rows = [
            {
                "workspace_id": workspace_id,
                "project": key.project,
                "target": key.target,
                "configuration": key.configuration or "",
                "duration_s": duration_s,
                "samples": 1,
                "updated_at": at,
            }
            for workspace_id, key, duration_s in learned
        ]
        if rows:
            self._write(self._upserts.duration, rows)

    def learn_hash_outcomes(
        self, learned: Sequence[tuple[WorkspaceId, TaskHash, bool]], at: datetime
    ) -> None:
        # In one order everywhere: two writers that lock the same rows must not wait for each other.
        rows = [
            {
                "workspace_id": workspace_id,
                "task_hash": task_hash,
                "has_succeeded": is_success,
                "has_failed": not is_success,
                "updated_at": at,
            }
            for workspace_id, task_hash, is_success in sorted(learned)
        ]
        if rows:
            self._write(self._upserts.hash_outcome, rows)

    def append_events(self, events: Sequence[Event]) -> None:
        self._insert(mapping.EVENT, tables.events, events)

    def ensure_workspace(self, workspace_id: WorkspaceId, at: datetime) -> None:
        self._write(self._upserts.workspace, {"workspace_id": workspace_id, "created_at": at})

    def insert_token(self, token: Token) -> None:
        self.ensure_workspace(token.workspace_id, token.created_at)
        self._insert(mapping.TOKEN, tables.tokens, [token])

    def revoke_token(self, token_id: TokenId, at: datetime) -> bool:
        columns = tables.tokens.c
        still_valid = and_(columns.token_id == token_id, columns.revoked_at.is_(None))
        if self._write(update(tables.tokens).where(still_valid).values(revoked_at=at)):
            return True
        found = self._connection.execute(select(columns.token_id).where(columns.token_id == token_id)).first()
        return found is not None


def _lock_run_by(table: Table, column: str) -> Any:
    of = select(table.c.ci_run_id).where(table.c[column] == bindparam(column)).scalar_subquery()
    return pick(mapping.CI_RUN).where(of == _RUN_ID).with_for_update(of=tables.ci_runs)


LOCK_RUN = pick(mapping.CI_RUN).where(bindparam("ci_run_id") == _RUN_ID).with_for_update(of=tables.ci_runs)
LOCK_NEWEST_RUN = NEWEST_RUN.with_for_update(of=tables.ci_runs)
LOCK_RUN_OF_AGENT = _lock_run_by(tables.agents, "agent_id")
LOCK_RUN_OF_INVOCATION = _lock_run_by(tables.invocations, "invocation_id")
LOCK_RUN_OF_LEASE = _lock_run_by(tables.leases, "lease_id")

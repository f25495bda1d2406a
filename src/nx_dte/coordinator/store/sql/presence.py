"""Presence: when a coordinator last looked after deadlines, and how they are moved when none did for a while."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, exists, select, update

from nx_dte.coordinator.store.sql import tables

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from sqlalchemy import ColumnElement, Connection, Table

_AT_WORK_AT = tables.presence.c.at_work_at
AT_WORK_AT = select(_AT_WORK_AT)
LOCK_PRESENCE = AT_WORK_AT.with_for_update()
NOTE_PRESENCE = update(tables.presence).values(at_work_at=bindparam("now"))
# Where nothing is live no deadline needs looking after: an idle coordinator writes nothing.
NOTE_PRESENCE_IF_LIVE = NOTE_PRESENCE.where(exists().where(tables.LIVE_RUN))


@dataclass(frozen=True, slots=True)
class _Deadline:
    """A column that tells when something was last heard of, or how long it may stay silent."""

    table: Table
    key: str
    column: str
    is_live: ColumnElement[bool]

    def move(self, connection: Connection, by: timedelta, latest: datetime) -> int:
        """Move it in all live rows, in the order of their keys: whoever locks several rows locks them in this order."""
        key, column = self.table.c[self.key], self.table.c[self.column]
        found = connection.execute(
            select(key, column).where(self.is_live).order_by(key).with_for_update()
        ).all()
        if not found:
            return 0
        change = update(self.table).where(key == bindparam("row_key")).values({column: bindparam("moved_to")})
        rows: list[dict[str, Any]] = [
            {"row_key": row_key, "moved_to": min(moment + by, latest)} for row_key, moment in found
        ]
        connection.execute(change, rows)
        return len(rows)


MOVE_TASKS = (
    update(tables.leases)
    .where(tables.leases.c.lease_id == bindparam("row_key"))
    .values(times_out_at=bindparam("new_times_out_at"), slow_at=bindparam("new_slow_at"))
)
# Runs come first: whoever holds a run's lock may change what belongs to it.
_MAIN = _Deadline(tables.ci_runs, "ci_run_id", "main_seen_at", tables.LIVE_RUN)
_AGENT = _Deadline(tables.agents, "agent_id", "seen_at", tables.LIVE_AGENT)
_LEASE = _Deadline(tables.leases, "lease_id", "expires_at", tables.LIVE_LEASE)


def _move_tasks(connection: Connection, by: timedelta, now: datetime) -> None:
    """How long tasks may take does not count our absence, as what ended meanwhile could not be reported.

    No task gets more time than one that is leased now.
    """
    columns = tables.leases.c
    chosen = (columns.lease_id, columns.granted_at, columns.times_out_at, columns.slow_at)
    found = connection.execute(
        select(*chosen).where(tables.LIVE_LEASE).order_by(columns.lease_id).with_for_update()
    ).all()

    def moved(granted_at: datetime, moment: datetime | None) -> datetime | None:
        return None if moment is None else min(moment + by, now + (moment - granted_at))

    rows: list[dict[str, Any]] = [
        {
            "row_key": row.lease_id,
            "new_times_out_at": moved(row.granted_at, row.times_out_at),
            "new_slow_at": moved(row.granted_at, row.slow_at),
        }
        for row in found
    ]
    if rows:
        connection.execute(MOVE_TASKS, rows)


def move_deadlines(connection: Connection, by: timedelta, now: datetime, lease_expires_at: datetime) -> int:
    """Move what is live, but nobody is heard of later than now, and no lease lasts longer than a fresh one."""
    _move_tasks(connection, by, now)
    return (
        _MAIN.move(connection, by, now)
        + _AGENT.move(connection, by, now)
        + _LEASE.move(connection, by, lease_expires_at)
    )

"""What the gauges show: counts by state, and since when ready tasks wait. A few aggregates, never a row each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import Select, exists, func, select

from nx_dte.coordinator.store.base import Beside, StateCounts
from nx_dte.coordinator.store.sql import revisions, tables
from nx_dte.coordinator.store.sql.retention_reads import TOTAL_BYTES

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Connection

_RUNS, _TASKS, _AGENTS, _LEASES = tables.ci_runs.c, tables.tasks.c, tables.agents.c, tables.leases.c

RUNS_BY_STATE = select(_RUNS.state, func.count()).group_by(_RUNS.state)
LIVE_TASKS_BY_STATE = (
    select(_TASKS.state, func.count())
    .join(tables.ci_runs, _TASKS.ci_run_id == _RUNS.ci_run_id)
    .where(tables.LIVE_RUN)
    .group_by(_TASKS.state)
)
AGENTS_BY_STATE = select(_AGENTS.state, func.count()).group_by(_AGENTS.state)
OLDEST_READY_BY_RUN = (
    select(_TASKS.ci_run_id, func.min(_TASKS.ready_at)).where(tables.READY).group_by(_TASKS.ci_run_id)
)
# Told by whether it may still claim and holds nothing: such an agent may be given any task, even one that runs alone.
_MAY_CLAIM = select(_AGENTS.ci_run_id).where(_AGENTS.state == "joined").distinct()
RUNS_WITH_AGENTS = _MAY_CLAIM
RUNS_WITH_IDLE_AGENTS = _MAY_CLAIM.where(
    ~exists().where(_LEASES.agent_id == _AGENTS.agent_id, tables.LIVE_LEASE)
)


def state_counts(connection: Connection) -> StateCounts:
    """All of them, from one snapshot."""

    def by_state(statement: Select[Any]) -> dict[str, int]:
        return {row[0]: row[1] for row in connection.execute(statement)}

    return StateCounts(
        ci_runs=by_state(RUNS_BY_STATE),
        tasks=by_state(LIVE_TASKS_BY_STATE),
        agents=by_state(AGENTS_BY_STATE),
        oldest_ready=_oldest_ready(connection),
        migrations_pending=revisions.pending(connection),
        artifact_bytes=int(connection.execute(TOTAL_BYTES).scalar_one()),
    )


def _oldest_ready(connection: Connection) -> dict[Beside, datetime]:
    waiting = connection.execute(OLDEST_READY_BY_RUN).all()
    if not waiting:
        return {}
    attended = set(connection.scalars(RUNS_WITH_AGENTS))
    idle = set(connection.scalars(RUNS_WITH_IDLE_AGENTS))
    oldest: dict[Beside, datetime] = {}
    for ci_run_id, ready_at in waiting:
        beside = Beside.IDLE if ci_run_id in idle else Beside.BUSY if ci_run_id in attended else Beside.NONE
        oldest[beside] = min(oldest.get(beside, ready_at), ready_at)
    return oldest

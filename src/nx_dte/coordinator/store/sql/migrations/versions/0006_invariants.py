"""More of what must always hold, said to the database: how states, counts, outcomes and ends go together."""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_CHECKS = {
    "ci_runs": {
        "outcome_when_over": "(state IN ('finished', 'abandoned')) = (outcome IS NOT NULL)",
        "nothing_runs_when_over": "state IN ('open', 'stopping') OR running_invocations = 0",
        "over_when_completed": "NOT is_completed OR running_invocations > 0 OR state IN ('finished', 'abandoned')",
    },
    "invocations": {
        "running_while_unfinished": "(state = 'running') = (tasks_unfinished > 0)",
        "ended_unless_running": "(state = 'running') = (ended_at IS NULL)",
        "outcome_unless_running": "state <> 'running' OR outcome IS NULL",
        "counts_within_total": "tasks_unfinished + tasks_failed + tasks_cancelled <= tasks_total",
        "leases_within_unfinished": "live_leases <= tasks_unfinished",
    },
    "tasks": {
        "blocked_by_something": "state <> 'blocked' OR unfinished_dependencies > 0",
        "ended_when_finished": "(state = 'finished') = (ended_at IS NOT NULL)",
    },
    "leases": {"attempt_counts": "attempt >= 1"},
}
_ALONE = sa.text("state = 'live' AND runs_alone")


_READY = sa.text("state = 'ready'")


def upgrade() -> None:
    """Add the constraints."""
    with _ready_tasks_kept_in_order():
        for table, checks in _CHECKS.items():
            with op.batch_alter_table(table) as batch:
                for name, rule in checks.items():
                    batch.create_check_constraint(op.f(f"ck_{table}_{name}"), rule)
    op.create_index(
        "uq_leases_alone", "leases", ["agent_id"], unique=True, sqlite_where=_ALONE, postgresql_where=_ALONE
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_index("uq_leases_alone", table_name="leases")
    with _ready_tasks_kept_in_order():
        for table, checks in _CHECKS.items():
            with op.batch_alter_table(table) as batch:
                for name in checks:
                    batch.drop_constraint(op.f(f"ck_{table}_{name}"), type_="check")


@contextmanager
def _ready_tasks_kept_in_order() -> Iterator[None]:
    """SQLite rebuilds the table and its indexes, but forgets on the way which way round one of them sorts."""
    if op.get_bind().dialect.name != "sqlite":
        yield
        return
    op.drop_index("ix_tasks_ready", table_name="tasks")
    yield
    columns: list[str | sa.TextClause] = [
        "invocation_id",
        "runs_alone",
        sa.text("priority_s DESC"),
        "task_id",
    ]
    op.create_index("ix_tasks_ready", "tasks", columns, sqlite_where=_READY)

"""Deadlines of tasks, what is expected of them, how their hashes ended before, and when agents last claimed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from nx_dte.coordinator.store.sql.types import UtcTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_OLD_KINDS = (
    "ci_run_opened",
    "ci_run_stopping",
    "ci_run_finished",
    "ci_run_abandoned",
    "main_joined",
    "main_left",
    "record_added",
    "invocation_submitted",
    "invocation_finished",
    "agent_joined",
    "agent_draining",
    "agent_left",
    "agent_lost",
    "task_ready",
    "task_leased",
    "task_requeued",
    "task_finished",
    "report_refused",
)
_INVOCATIONS = sa.table(
    "invocations",
    sa.column("invocation_id", sa.String),
    sa.column("ci_run_id", sa.String),
    sa.column("tasks_cancelled", sa.Integer),
    sa.column("submitted_sequence", sa.Integer),
)
_TASKS = sa.table("tasks", sa.column("invocation_id", sa.String), sa.column("outcome", sa.String))
_EVENTS = sa.table(
    "events",
    sa.column("ci_run_id", sa.String),
    sa.column("invocation_id", sa.String),
    sa.column("kind", sa.String),
    sa.column("sequence", sa.Integer),
)


def upgrade() -> None:
    """Change the schema; what old rows would say by now is counted from what is there."""
    for table, column in _columns():
        op.add_column(table, column)
    _fill()
    op.create_table(
        "task_hash_outcomes",
        sa.Column("workspace_id", sa.String(length=128), nullable=False),
        sa.Column("task_hash", sa.String(length=512), nullable=False),
        sa.Column("has_succeeded", sa.Boolean(), nullable=False),
        sa.Column("has_failed", sa.Boolean(), nullable=False),
        sa.Column("updated_at", UtcTime(), nullable=False),
        sa.CheckConstraint("has_succeeded OR has_failed", name=op.f("ck_task_hash_outcomes_has_some")),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.workspace_id"], name=op.f("fk_task_hash_outcomes_workspaces")
        ),
        sa.PrimaryKeyConstraint("workspace_id", "task_hash", name=op.f("pk_task_hash_outcomes")),
    )
    op.create_index("ix_task_hash_outcomes_updated_at", "task_hash_outcomes", ["updated_at"])
    _let_events_be((*_OLD_KINDS[:-3], "task_slow", *_OLD_KINDS[-3:]))


def _columns() -> list[tuple[str, sa.Column[object]]]:
    def count(name: str) -> sa.Column[object]:
        return sa.Column(name, sa.Integer(), nullable=False, server_default="0")

    def time(name: str) -> sa.Column[object]:
        return sa.Column(name, UtcTime(), nullable=True)

    return [
        ("invocations", sa.Column("task_timeout_s", sa.Float(), nullable=True)),
        ("invocations", count("tasks_cancelled")),
        ("invocations", count("submitted_sequence")),
        ("tasks", count("failed_attempts")),
        ("tasks", sa.Column("avoid_agent_id", sa.String(length=64), nullable=True)),
        ("tasks", sa.Column("expected_s", sa.Float(), nullable=True)),
        ("agents", time("claimed_at")),
        ("leases", time("times_out_at")),
        ("leases", time("slow_at")),
        ("leases", time("slow_noted_at")),
        ("leases", sa.Column("reported", sa.Text(), nullable=True)),
    ]


def _fill() -> None:
    columns = _INVOCATIONS.c
    cancelled = (
        sa.select(sa.func.count())
        .select_from(_TASKS)
        .where(_TASKS.c.invocation_id == columns.invocation_id, _TASKS.c.outcome == "cancelled")
    )
    submitted = sa.select(sa.func.coalesce(sa.func.min(_EVENTS.c.sequence), 0)).where(
        _EVENTS.c.ci_run_id == columns.ci_run_id,
        _EVENTS.c.invocation_id == columns.invocation_id,
        _EVENTS.c.kind == "invocation_submitted",
    )
    op.execute(
        _INVOCATIONS.update().values(
            tasks_cancelled=cancelled.scalar_subquery(), submitted_sequence=submitted.scalar_subquery()
        )
    )


def _let_events_be(kinds: tuple[str, ...]) -> None:
    members = ", ".join(f"'{kind}'" for kind in kinds)
    with op.batch_alter_table("events") as batch:
        batch.drop_constraint(op.f("ck_events_kind_known"), type_="check")
        batch.create_check_constraint(op.f("ck_events_kind_known"), f"kind IN ({members})")


def downgrade() -> None:
    """Change it back; events of kinds that were unknown then are dropped with it."""
    op.execute("DELETE FROM events WHERE kind = 'task_slow'")
    _let_events_be(_OLD_KINDS)
    op.drop_index("ix_task_hash_outcomes_updated_at", table_name="task_hash_outcomes")
    op.drop_table("task_hash_outcomes")
    for table, column in reversed(_columns()):
        op.drop_column(table, column.name)

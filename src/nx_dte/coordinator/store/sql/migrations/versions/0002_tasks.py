"""Tasks, their edges and their leases."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from nx_dte.coordinator.store.sql.types import JsonText, UtcTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    _tasks()
    _leases()
    _task_dependencies()


def downgrade() -> None:
    """Drop the tables, those that refer to others first."""
    for table in ("task_dependencies", "leases", "tasks"):
        op.drop_table(table)


def _tasks() -> None:
    op.create_table("tasks", *_tasks_columns(), *_tasks_constraints())
    with op.batch_alter_table("tasks", schema=None) as batch_op:
        batch_op.create_index("ix_tasks_ci_run_id", ["ci_run_id"], unique=False)
        batch_op.create_index(
            "ix_tasks_ready",
            ["invocation_id", "runs_alone", sa.literal_column("priority_s DESC"), "task_id"],
            unique=False,
            sqlite_where=sa.text("state = 'ready'"),
            postgresql_where=sa.text("state = 'ready'"),
        )


def _tasks_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("invocation_id", sa.String(length=64), nullable=False),
        sa.Column("ci_run_id", sa.String(length=64), nullable=False),
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("target", sa.Text(), nullable=False),
        sa.Column("configuration", sa.Text(), nullable=True),
        sa.Column("task_hash", sa.Text(), nullable=True),
        sa.Column("is_cacheable", sa.Boolean(), nullable=False),
        sa.Column("is_noop", sa.Boolean(), nullable=False),
        sa.Column("runs_alone", sa.Boolean(), nullable=False),
        sa.Column("outputs", JsonText(), nullable=False),
        sa.Column("dependencies", JsonText(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("outcome", sa.String(length=32), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("code", sa.BigInteger(), nullable=True),
        sa.Column("nx_status", sa.Text(), nullable=True),
        sa.Column("artifact_id", sa.String(length=64), nullable=True),
        sa.Column("artifact_size", sa.BigInteger(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("lost_attempts", sa.Integer(), nullable=False),
        sa.Column("unfinished_dependencies", sa.Integer(), nullable=False),
        sa.Column("priority_s", sa.Float(), nullable=False),
        sa.Column("agent_id", sa.String(length=64), nullable=True),
        sa.Column("agent_name", sa.Text(), nullable=True),
        sa.Column("ready_at", UtcTime(), nullable=True),
        sa.Column("leased_at", UtcTime(), nullable=True),
        sa.Column("started_at", UtcTime(), nullable=True),
        sa.Column("ended_at", UtcTime(), nullable=True),
    ]


def _tasks_constraints() -> list[sa.Constraint]:
    return [
        sa.CheckConstraint(
            "(state = 'finished') = (outcome IS NOT NULL)", name=op.f("ck_tasks_outcome_when_finished")
        ),
        sa.CheckConstraint(
            "outcome IN ('succeeded', 'failed', 'cached', 'skipped', 'cancelled', 'lost')",
            name=op.f("ck_tasks_outcome_known"),
        ),
        sa.CheckConstraint(
            "state <> 'leased' OR agent_id IS NOT NULL", name=op.f("ck_tasks_leased_by_someone")
        ),
        sa.CheckConstraint(
            "state IN ('blocked', 'ready', 'leased', 'finished')", name=op.f("ck_tasks_state_known")
        ),
        sa.CheckConstraint(
            "state NOT IN ('ready', 'leased') OR unfinished_dependencies = 0",
            name=op.f("ck_tasks_ready_needs_dependencies"),
        ),
        sa.CheckConstraint(
            "(artifact_id IS NULL) = (artifact_size IS NULL)", name=op.f("ck_tasks_artifact_whole")
        ),
        sa.CheckConstraint("attempt >= 1", name=op.f("ck_tasks_attempt_counts")),
        sa.CheckConstraint("lost_attempts >= 0", name=op.f("ck_tasks_lost_attempts_counts")),
        sa.CheckConstraint(
            "unfinished_dependencies >= 0", name=op.f("ck_tasks_unfinished_dependencies_counts")
        ),
        sa.ForeignKeyConstraint(
            ["ci_run_id"], ["ci_runs.ci_run_id"], name=op.f("fk_tasks_ci_runs"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["invocation_id"],
            ["invocations.invocation_id"],
            name=op.f("fk_tasks_invocations"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("invocation_id", "task_id", name=op.f("pk_tasks")),
    ]


def _leases() -> None:
    op.create_table("leases", *_leases_columns(), *_leases_constraints())
    with op.batch_alter_table("leases", schema=None) as batch_op:
        batch_op.create_index(
            "ix_leases_live_agent",
            ["agent_id"],
            unique=False,
            sqlite_where=sa.text("state = 'live'"),
            postgresql_where=sa.text("state = 'live'"),
        )
        batch_op.create_index(
            "ix_leases_live_expiry",
            ["expires_at"],
            unique=False,
            sqlite_where=sa.text("state = 'live'"),
            postgresql_where=sa.text("state = 'live'"),
        )
        batch_op.create_index(
            "uq_leases_live",
            ["invocation_id", "task_id"],
            unique=True,
            sqlite_where=sa.text("state = 'live'"),
            postgresql_where=sa.text("state = 'live'"),
        )


def _leases_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("lease_id", sa.String(length=64), nullable=False),
        sa.Column("ci_run_id", sa.String(length=64), nullable=False),
        sa.Column("invocation_id", sa.String(length=64), nullable=False),
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("agent_id", sa.String(length=64), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("runs_alone", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("granted_at", UtcTime(), nullable=False),
        sa.Column("expires_at", UtcTime(), nullable=False),
        sa.Column("ended_at", UtcTime(), nullable=True),
    ]


def _leases_constraints() -> list[sa.Constraint]:
    return [
        sa.CheckConstraint("(state = 'live') = (ended_at IS NULL)", name=op.f("ck_leases_ended_unless_live")),
        sa.CheckConstraint(
            "state IN ('live', 'reported', 'expired', 'released', 'revoked')",
            name=op.f("ck_leases_state_known"),
        ),
        sa.ForeignKeyConstraint(
            ["agent_id"], ["agents.agent_id"], name=op.f("fk_leases_agents"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["ci_run_id"], ["ci_runs.ci_run_id"], name=op.f("fk_leases_ci_runs"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["invocation_id", "task_id"],
            ["tasks.invocation_id", "tasks.task_id"],
            name=op.f("fk_leases_tasks"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("lease_id", name=op.f("pk_leases")),
        sa.UniqueConstraint(
            "invocation_id", "task_id", "attempt", name=op.f("uq_leases_invocation_id_task_id_attempt")
        ),
    ]


def _task_dependencies() -> None:
    op.create_table(
        "task_dependencies",
        sa.Column("invocation_id", sa.String(length=64), nullable=False),
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("dependency_id", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["invocation_id", "task_id"],
            ["tasks.invocation_id", "tasks.task_id"],
            name=op.f("fk_task_dependencies_tasks"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "invocation_id", "dependency_id", "task_id", name=op.f("pk_task_dependencies")
        ),
    )

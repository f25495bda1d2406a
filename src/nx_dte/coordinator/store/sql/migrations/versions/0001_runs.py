"""Workspaces, tokens, runs and what belongs to a run; artifacts and the cache."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from nx_dte.coordinator.store.sql.types import JsonText, UtcTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    _workspaces()
    _artifacts()
    _ci_runs()
    _task_durations()
    _tokens()
    _agents()
    _cache_entries()
    _ci_run_jobs()
    _events()
    _invocations()
    _records()
    _invocation_payloads()


def downgrade() -> None:
    """Drop the tables, those that refer to others first."""
    for table in (
        "invocation_payloads",
        "records",
        "invocations",
        "events",
        "ci_run_jobs",
        "cache_entries",
        "agents",
        "tokens",
        "task_durations",
        "ci_runs",
        "artifacts",
        "workspaces",
    ):
        op.drop_table(table)


def _workspaces() -> None:
    op.create_table(
        "workspaces",
        sa.Column("workspace_id", sa.String(length=128), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("workspace_id", name=op.f("pk_workspaces")),
    )


def _artifacts() -> None:
    op.create_table(
        "artifacts",
        sa.Column("workspace_id", sa.String(length=128), nullable=False),
        sa.Column("artifact_id", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("ci_run_id", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.workspace_id"], name=op.f("fk_artifacts_workspaces")
        ),
        sa.PrimaryKeyConstraint("workspace_id", "artifact_id", name=op.f("pk_artifacts")),
    )


def _ci_runs() -> None:
    op.create_table("ci_runs", *_ci_runs_columns(), *_ci_runs_constraints())
    with op.batch_alter_table("ci_runs", schema=None) as batch_op:
        batch_op.create_index(
            "ix_ci_runs_live",
            ["main_seen_at"],
            unique=False,
            sqlite_where=sa.text("state IN ('open', 'stopping')"),
            postgresql_where=sa.text("state IN ('open', 'stopping')"),
        )
        batch_op.create_index(
            "uq_ci_runs_open",
            ["workspace_id", "ci_id", "environment"],
            unique=True,
            sqlite_where=sa.text("state = 'open'"),
            postgresql_where=sa.text("state = 'open'"),
        )


def _ci_runs_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("ci_run_id", sa.String(length=64), nullable=False),
        sa.Column("workspace_id", sa.String(length=128), nullable=False),
        sa.Column("ci_id", sa.Text(), nullable=False),
        sa.Column("environment", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("token_access", sa.String(length=32), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("branch", sa.Text(), nullable=True),
        sa.Column("commit", sa.Text(), nullable=True),
        sa.Column("nx_version", sa.Text(), nullable=True),
        sa.Column("distribute_on", sa.Text(), nullable=True),
        sa.Column("distribute_by_default", sa.Boolean(), nullable=False),
        sa.Column("stop_agents_after", JsonText(), nullable=False),
        sa.Column("stop_agents_on_failure", sa.Boolean(), nullable=False),
        sa.Column("require_explicit_completion", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("outcome", sa.String(length=32), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("is_failed", sa.Boolean(), nullable=False),
        sa.Column("is_completed", sa.Boolean(), nullable=False),
        sa.Column("stop_targets_finished", JsonText(), nullable=False),
        sa.Column("running_invocations", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("main_seen_at", UtcTime(), nullable=False),
        sa.Column("ended_at", UtcTime(), nullable=True),
    ]


def _ci_runs_constraints() -> list[sa.Constraint]:
    return [
        sa.CheckConstraint(
            "(state IN ('finished', 'abandoned')) = (ended_at IS NOT NULL)",
            name=op.f("ck_ci_runs_ended_when_over"),
        ),
        sa.CheckConstraint("outcome IN ('succeeded', 'failed')", name=op.f("ck_ci_runs_outcome_known")),
        sa.CheckConstraint(
            "state IN ('open', 'stopping', 'finished', 'abandoned')", name=op.f("ck_ci_runs_state_known")
        ),
        sa.CheckConstraint(
            "token_access IN ('read-only', 'read-write')", name=op.f("ck_ci_runs_token_access_known")
        ),
        sa.CheckConstraint("attempt >= 1", name=op.f("ck_ci_runs_attempt_counts")),
        sa.CheckConstraint("running_invocations >= 0", name=op.f("ck_ci_runs_running_invocations_counts")),
        sa.CheckConstraint("sequence >= 0", name=op.f("ck_ci_runs_sequence_counts")),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.workspace_id"], name=op.f("fk_ci_runs_workspaces")
        ),
        sa.PrimaryKeyConstraint("ci_run_id", name=op.f("pk_ci_runs")),
        sa.UniqueConstraint(
            "workspace_id",
            "ci_id",
            "environment",
            "attempt",
            name=op.f("uq_ci_runs_workspace_id_ci_id_environment_attempt"),
        ),
    ]


def _task_durations() -> None:
    op.create_table(
        "task_durations",
        sa.Column("workspace_id", sa.String(length=128), nullable=False),
        sa.Column("project", sa.String(length=512), nullable=False),
        sa.Column("target", sa.String(length=512), nullable=False),
        sa.Column("configuration", sa.String(length=512), nullable=False),
        sa.Column("duration_s", sa.Float(), nullable=False),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.Column("updated_at", UtcTime(), nullable=False),
        sa.CheckConstraint("samples >= 0", name=op.f("ck_task_durations_samples_counts")),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.workspace_id"], name=op.f("fk_task_durations_workspaces")
        ),
        sa.PrimaryKeyConstraint(
            "workspace_id", "target", "project", "configuration", name=op.f("pk_task_durations")
        ),
    )


def _tokens() -> None:
    op.create_table(
        "tokens",
        sa.Column("token_id", sa.String(length=64), nullable=False),
        sa.Column("workspace_id", sa.String(length=128), nullable=False),
        sa.Column("access", sa.String(length=32), nullable=False),
        sa.Column("token_sha256", sa.String(length=64), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("expires_at", UtcTime(), nullable=True),
        sa.Column("revoked_at", UtcTime(), nullable=True),
        sa.CheckConstraint("access IN ('read-only', 'read-write')", name=op.f("ck_tokens_access_known")),
        sa.ForeignKeyConstraint(
            ["workspace_id"], ["workspaces.workspace_id"], name=op.f("fk_tokens_workspaces")
        ),
        sa.PrimaryKeyConstraint("token_id", name=op.f("pk_tokens")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_tokens_token_sha256")),
    )


def _agents() -> None:
    op.create_table("agents", *_agents_columns(), *_agents_constraints())
    with op.batch_alter_table("agents", schema=None) as batch_op:
        batch_op.create_index(
            "ix_agents_live",
            ["seen_at"],
            unique=False,
            sqlite_where=sa.text("state IN ('joined', 'draining')"),
            postgresql_where=sa.text("state IN ('joined', 'draining')"),
        )


def _agents_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("agent_id", sa.String(length=64), nullable=False),
        sa.Column("ci_run_id", sa.String(length=64), nullable=False),
        sa.Column("agent_key", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("instance", sa.Text(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=True),
        sa.Column("job_id", sa.Text(), nullable=True),
        sa.Column("commit", sa.Text(), nullable=True),
        sa.Column("nx_version", sa.Text(), nullable=True),
        sa.Column("is_main", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("joined_at", UtcTime(), nullable=False),
        sa.Column("seen_at", UtcTime(), nullable=False),
        sa.Column("left_at", UtcTime(), nullable=True),
        sa.Column("left_reason", sa.Text(), nullable=True),
    ]


def _agents_constraints() -> list[sa.Constraint]:
    return [
        sa.CheckConstraint(
            "(state IN ('left', 'lost')) = (left_at IS NOT NULL)", name=op.f("ck_agents_left_when_gone")
        ),
        sa.CheckConstraint(
            "state IN ('joined', 'draining', 'left', 'lost')", name=op.f("ck_agents_state_known")
        ),
        sa.ForeignKeyConstraint(
            ["ci_run_id"], ["ci_runs.ci_run_id"], name=op.f("fk_agents_ci_runs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("agent_id", name=op.f("pk_agents")),
        sa.UniqueConstraint("ci_run_id", "agent_key", name=op.f("uq_agents_ci_run_id_agent_key")),
    ]


def _cache_entries() -> None:
    op.create_table(
        "cache_entries",
        sa.Column("workspace_id", sa.String(length=128), nullable=False),
        sa.Column("scope", sa.String(length=32), nullable=False),
        sa.Column("scope_id", sa.String(length=64), nullable=False),
        sa.Column("task_hash", sa.String(length=512), nullable=False),
        sa.Column("artifact_id", sa.String(length=64), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.Integer(), nullable=False),
        sa.Column("producer_ci_run_id", sa.String(length=64), nullable=True),
        sa.Column("producer_job_id", sa.Text(), nullable=True),
        sa.Column("producer_ref", sa.Text(), nullable=True),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.CheckConstraint(
            "(scope = 'shared') = (scope_id = '')", name=op.f("ck_cache_entries_scope_id_by_scope")
        ),
        sa.CheckConstraint("scope IN ('shared', 'run')", name=op.f("ck_cache_entries_scope_known")),
        sa.CheckConstraint("code = 0", name=op.f("ck_cache_entries_only_successes")),
        sa.ForeignKeyConstraint(
            ["workspace_id", "artifact_id"],
            ["artifacts.workspace_id", "artifacts.artifact_id"],
            name=op.f("fk_cache_entries_artifacts"),
        ),
        sa.PrimaryKeyConstraint(
            "workspace_id", "scope", "scope_id", "task_hash", name=op.f("pk_cache_entries")
        ),
    )


def _ci_run_jobs() -> None:
    op.create_table(
        "ci_run_jobs",
        sa.Column("ci_run_id", sa.String(length=64), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("joined_at", UtcTime(), nullable=False),
        sa.Column("left_at", UtcTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["ci_run_id"], ["ci_runs.ci_run_id"], name=op.f("fk_ci_run_jobs_ci_runs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("ci_run_id", "job_id", name=op.f("pk_ci_run_jobs")),
    )


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("ci_run_id", sa.String(length=64), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column("at", UtcTime(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("invocation_id", sa.String(length=64), nullable=True),
        sa.Column("task_id", sa.Text(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=True),
        sa.Column("agent_id", sa.String(length=64), nullable=True),
        sa.Column("agent_name", sa.Text(), nullable=True),
        sa.Column("lease_id", sa.String(length=64), nullable=True),
        sa.Column("result", JsonText(), nullable=True),
        sa.CheckConstraint(
            "kind IN ('ci_run_opened', 'ci_run_stopping', 'ci_run_finished', 'ci_run_abandoned', 'main_joined', 'main_left', 'record_added', 'invocation_submitted', 'invocation_finished', 'agent_joined', 'agent_draining', 'agent_left', 'agent_lost', 'task_ready', 'task_leased', 'task_requeued', 'task_finished', 'report_refused')",
            name=op.f("ck_events_kind_known"),
        ),
        sa.CheckConstraint("sequence >= 1", name=op.f("ck_events_sequence_counts")),
        sa.ForeignKeyConstraint(
            ["ci_run_id"], ["ci_runs.ci_run_id"], name=op.f("fk_events_ci_runs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("ci_run_id", "sequence", name=op.f("pk_events")),
    )
    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.create_index(
            "ix_events_task",
            ["invocation_id", "task_id"],
            unique=False,
            sqlite_where=sa.text("task_id IS NOT NULL"),
            postgresql_where=sa.text("task_id IS NOT NULL"),
        )


def _invocations() -> None:
    op.create_table("invocations", *_invocations_columns(), *_invocations_constraints())


def _invocations_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column("invocation_id", sa.String(length=64), nullable=False),
        sa.Column("ci_run_id", sa.String(length=64), nullable=False),
        sa.Column("invocation_key", sa.Text(), nullable=False),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("targets", JsonText(), nullable=False),
        sa.Column("configuration", sa.Text(), nullable=True),
        sa.Column("parallel", sa.Integer(), nullable=False),
        sa.Column("nx_bail", sa.Boolean(), nullable=False),
        sa.Column("skip_nx_cache", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=32), nullable=False),
        sa.Column("outcome", sa.String(length=32), nullable=True),
        sa.Column("cancel_reason", sa.Text(), nullable=True),
        sa.Column("has_bailed", sa.Boolean(), nullable=False),
        sa.Column("tasks_total", sa.Integer(), nullable=False),
        sa.Column("tasks_unfinished", sa.Integer(), nullable=False),
        sa.Column("tasks_failed", sa.Integer(), nullable=False),
        sa.Column("live_leases", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcTime(), nullable=False),
        sa.Column("ended_at", UtcTime(), nullable=True),
    ]


def _invocations_constraints() -> list[sa.Constraint]:
    return [
        sa.CheckConstraint("outcome IN ('succeeded', 'failed')", name=op.f("ck_invocations_outcome_known")),
        sa.CheckConstraint(
            "state = 'running' OR (tasks_unfinished = 0 AND live_leases = 0)",
            name=op.f("ck_invocations_nothing_left_when_over"),
        ),
        sa.CheckConstraint(
            "state IN ('running', 'finished', 'cancelled')", name=op.f("ck_invocations_state_known")
        ),
        sa.CheckConstraint("live_leases >= 0", name=op.f("ck_invocations_live_leases_counts")),
        sa.CheckConstraint("parallel >= 1", name=op.f("ck_invocations_parallel_counts")),
        sa.CheckConstraint("tasks_failed >= 0", name=op.f("ck_invocations_tasks_failed_counts")),
        sa.CheckConstraint("tasks_total >= 0", name=op.f("ck_invocations_tasks_total_counts")),
        sa.CheckConstraint(
            "tasks_unfinished <= tasks_total", name=op.f("ck_invocations_unfinished_within_total")
        ),
        sa.CheckConstraint("tasks_unfinished >= 0", name=op.f("ck_invocations_tasks_unfinished_counts")),
        sa.ForeignKeyConstraint(
            ["ci_run_id"], ["ci_runs.ci_run_id"], name=op.f("fk_invocations_ci_runs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("invocation_id", name=op.f("pk_invocations")),
        sa.UniqueConstraint(
            "ci_run_id", "invocation_key", name=op.f("uq_invocations_ci_run_id_invocation_key")
        ),
    ]


def _records() -> None:
    op.create_table(
        "records",
        sa.Column("record_id", sa.String(length=64), nullable=False),
        sa.Column("ci_run_id", sa.String(length=64), nullable=False),
        sa.Column("record_key", sa.Text(), nullable=False),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("code", sa.BigInteger(), nullable=False),
        sa.Column("terminal_output", sa.Text(), nullable=False),
        sa.Column("started_at", UtcTime(), nullable=False),
        sa.Column("ended_at", UtcTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["ci_run_id"], ["ci_runs.ci_run_id"], name=op.f("fk_records_ci_runs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("record_id", name=op.f("pk_records")),
        sa.UniqueConstraint("ci_run_id", "record_key", name=op.f("uq_records_ci_run_id_record_key")),
    )


def _invocation_payloads() -> None:
    op.create_table(
        "invocation_payloads",
        sa.Column("invocation_id", sa.String(length=64), nullable=False),
        sa.Column("compression", sa.String(length=16), nullable=False),
        sa.Column("payload", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["invocation_id"],
            ["invocations.invocation_id"],
            name=op.f("fk_invocation_payloads_invocations"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("invocation_id", name=op.f("pk_invocation_payloads")),
    )

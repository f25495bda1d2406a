"""The schema. Invariants that matter are constraints here as well as checks in tests.

Columns are named as the fields of `nx_dte.model`; enums are text with a CHECK, tuples are JSON, times are UTC. The
migrations under `migrations/versions` build exactly this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    text,
)

from nx_dte.coordinator.store.sql.types import JsonText, String, Text, UtcTime
from nx_dte.model.access import TokenAccess
from nx_dte.model.agent import AgentState
from nx_dte.model.cache_entry import CacheScope
from nx_dte.model.event import EventKind
from nx_dte.model.invocation import InvocationState
from nx_dte.model.lease import LeaseState
from nx_dte.model.run import CiRunState, RunOutcome
from nx_dte.model.task import TaskOutcome, TaskState

if TYPE_CHECKING:
    from enum import StrEnum

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, String(64), nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> Column[str]:
    return Column(name, Text, nullable=nullable)


def _time(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, UtcTime, nullable=nullable)


def _used() -> Column[object]:
    # The default only lets the column be added to rows of an older schema; every insert names a time.
    return Column("last_used_at", UtcTime, nullable=False, server_default="1970-01-01 00:00:00")


def _flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False)


def _count(name: str, *, least: int = 0) -> tuple[Column[int], CheckConstraint]:
    return Column(name, Integer, nullable=False), CheckConstraint(f"{name} >= {least}", name=f"{name}_counts")


def _added_count(name: str) -> Column[int]:
    # A count that came later; the default is for the rows of an older schema.
    return Column(name, Integer, nullable=False, server_default="0")


def _enum(name: str, values: type[StrEnum], *, nullable: bool = False) -> tuple[Column[str], CheckConstraint]:
    members = ", ".join(f"'{member.value}'" for member in values)
    known = CheckConstraint(f"{name} IN ({members})", name=f"{name}_known")
    return Column(name, String(32), nullable=nullable), known


def _json(name: str) -> Column[object]:
    return Column(name, JsonText, nullable=False)


def _run_key() -> Column[str]:
    return Column(
        "ci_run_id", String(64), ForeignKey("ci_runs.ci_run_id", ondelete="CASCADE"), nullable=False
    )


workspaces = Table(
    "workspaces", metadata, Column("workspace_id", String(128), primary_key=True), _time("created_at")
)

tokens = Table(
    "tokens",
    metadata,
    Column("token_id", String(64), primary_key=True),
    Column("workspace_id", String(128), ForeignKey("workspaces.workspace_id"), nullable=False),
    *_enum("access", TokenAccess),
    Column("token_sha256", String(64), nullable=False, unique=True),
    _time("created_at"),
    _time("expires_at", nullable=True),
    _time("revoked_at", nullable=True),
)

ci_runs = Table(
    "ci_runs",
    metadata,
    Column("ci_run_id", String(64), primary_key=True),
    Column("workspace_id", String(128), ForeignKey("workspaces.workspace_id"), nullable=False),
    _text("ci_id"),
    _text("environment"),
    *_count("attempt", least=1),
    *_enum("token_access", TokenAccess),
    _text("job_id"),
    _text("branch", nullable=True),
    _text("commit", nullable=True),
    _text("nx_version", nullable=True),
    _text("distribute_on", nullable=True),
    _flag("distribute_by_default"),
    _json("stop_agents_after"),
    _flag("stop_agents_on_failure"),
    _flag("require_explicit_completion"),
    *_enum("state", CiRunState),
    *_enum("outcome", RunOutcome, nullable=True),
    _text("reason", nullable=True),
    _flag("is_failed"),
    _flag("is_completed"),
    _json("stop_targets_finished"),
    *_count("running_invocations"),
    *_count("sequence"),
    _time("created_at"),
    _time("main_seen_at"),
    _time("ended_at", nullable=True),
    UniqueConstraint("workspace_id", "ci_id", "environment", "attempt"),
    CheckConstraint("(state IN ('finished', 'abandoned')) = (ended_at IS NOT NULL)", name="ended_when_over"),
    CheckConstraint("(state IN ('finished', 'abandoned')) = (outcome IS NOT NULL)", name="outcome_when_over"),
    CheckConstraint(
        "state IN ('open', 'stopping') OR running_invocations = 0", name="nothing_runs_when_over"
    ),
    CheckConstraint(
        "NOT is_completed OR running_invocations > 0 OR state IN ('finished', 'abandoned')",
        name="over_when_completed",
    ),
)
LIVE_RUN = ci_runs.c.state.in_(["open", "stopping"])
Index(
    "uq_ci_runs_open",
    ci_runs.c.workspace_id,
    ci_runs.c.ci_id,
    ci_runs.c.environment,
    unique=True,
    sqlite_where=ci_runs.c.state == "open",
    postgresql_where=ci_runs.c.state == "open",
)
Index("ix_ci_runs_live", ci_runs.c.main_seen_at, sqlite_where=LIVE_RUN, postgresql_where=LIVE_RUN)

ci_run_jobs = Table(
    "ci_run_jobs",
    metadata,
    _run_key(),
    _text("job_id"),
    _time("joined_at"),
    _time("left_at", nullable=True),
    PrimaryKeyConstraint("ci_run_id", "job_id"),
)

invocations = Table(
    "invocations",
    metadata,
    Column("invocation_id", String(64), primary_key=True),
    _run_key(),
    _text("invocation_key"),
    _text("command"),
    _json("targets"),
    _text("configuration", nullable=True),
    *_count("parallel", least=1),
    _flag("nx_bail"),
    _flag("skip_nx_cache"),
    Column("task_timeout_s", Float, nullable=True),
    *_enum("state", InvocationState),
    *_enum("outcome", RunOutcome, nullable=True),
    _text("cancel_reason", nullable=True),
    _flag("has_bailed"),
    *_count("tasks_total"),
    *_count("tasks_unfinished"),
    *_count("tasks_failed"),
    _added_count("tasks_cancelled"),
    *_count("live_leases"),
    _added_count("submitted_sequence"),
    _time("created_at"),
    _time("ended_at", nullable=True),
    UniqueConstraint("ci_run_id", "invocation_key"),
    CheckConstraint("tasks_unfinished <= tasks_total", name="unfinished_within_total"),
    CheckConstraint(
        "state = 'running' OR (tasks_unfinished = 0 AND live_leases = 0)", name="nothing_left_when_over"
    ),
    CheckConstraint("(state = 'running') = (tasks_unfinished > 0)", name="running_while_unfinished"),
    CheckConstraint("(state = 'running') = (ended_at IS NULL)", name="ended_unless_running"),
    CheckConstraint("state <> 'running' OR outcome IS NULL", name="outcome_unless_running"),
    CheckConstraint(
        "tasks_unfinished + tasks_failed + tasks_cancelled <= tasks_total", name="counts_within_total"
    ),
    CheckConstraint("live_leases <= tasks_unfinished", name="leases_within_unfinished"),
)

invocation_payloads = Table(
    "invocation_payloads",
    metadata,
    Column(
        "invocation_id",
        String(64),
        ForeignKey("invocations.invocation_id", ondelete="CASCADE"),
        primary_key=True,
    ),
    Column("compression", String(16), nullable=False),
    Column("payload", LargeBinary, nullable=False),
)

tasks = Table(
    "tasks",
    metadata,
    Column(
        "invocation_id",
        String(64),
        ForeignKey("invocations.invocation_id", ondelete="CASCADE"),
        nullable=False,
    ),
    _run_key(),
    _text("task_id"),
    _text("project"),
    _text("target"),
    _text("configuration", nullable=True),
    _text("task_hash", nullable=True),
    _flag("is_cacheable"),
    _flag("is_noop"),
    _flag("runs_alone"),
    _json("outputs"),
    _json("dependencies"),
    *_enum("state", TaskState),
    *_enum("outcome", TaskOutcome, nullable=True),
    _text("reason", nullable=True),
    Column("code", BigInteger, nullable=True),
    _text("nx_status", nullable=True),
    Column("artifact_id", String(64), nullable=True),
    Column("artifact_size", BigInteger, nullable=True),
    *_count("attempt", least=1),
    *_count("lost_attempts"),
    _added_count("failed_attempts"),
    _id("avoid_agent_id", nullable=True),
    *_count("unfinished_dependencies"),
    Column("priority_s", Float, nullable=False),
    Column("expected_s", Float, nullable=True),
    _id("agent_id", nullable=True),
    _text("agent_name", nullable=True),
    _time("ready_at", nullable=True),
    _time("leased_at", nullable=True),
    _time("started_at", nullable=True),
    _time("ended_at", nullable=True),
    PrimaryKeyConstraint("invocation_id", "task_id"),
    CheckConstraint("(state = 'finished') = (outcome IS NOT NULL)", name="outcome_when_finished"),
    CheckConstraint(
        "state NOT IN ('ready', 'leased') OR unfinished_dependencies = 0", name="ready_needs_dependencies"
    ),
    CheckConstraint("state <> 'leased' OR agent_id IS NOT NULL", name="leased_by_someone"),
    CheckConstraint("state <> 'blocked' OR unfinished_dependencies > 0", name="blocked_by_something"),
    CheckConstraint("(state = 'finished') = (ended_at IS NOT NULL)", name="ended_when_finished"),
    CheckConstraint("(artifact_id IS NULL) = (artifact_size IS NULL)", name="artifact_whole"),
)
READY = tasks.c.state == "ready"
Index(
    "ix_tasks_ready",
    tasks.c.invocation_id,
    tasks.c.runs_alone,
    tasks.c.priority_s.desc(),
    tasks.c.task_id,
    sqlite_where=READY,
    postgresql_where=READY,
)
Index("ix_tasks_ci_run_id", tasks.c.ci_run_id)
WITH_ARTIFACT = tasks.c.artifact_id.is_not(None)
Index("ix_tasks_artifact", tasks.c.artifact_id, sqlite_where=WITH_ARTIFACT, postgresql_where=WITH_ARTIFACT)

task_dependencies = Table(
    "task_dependencies",
    metadata,
    _id("invocation_id"),
    _text("task_id"),
    _text("dependency_id"),
    PrimaryKeyConstraint("invocation_id", "dependency_id", "task_id"),
    ForeignKeyConstraint(
        ["invocation_id", "task_id"], ["tasks.invocation_id", "tasks.task_id"], ondelete="CASCADE"
    ),
)

agents = Table(
    "agents",
    metadata,
    Column("agent_id", String(64), primary_key=True),
    _run_key(),
    _text("agent_key"),
    _text("name"),
    _text("instance", nullable=True),
    _text("kind", nullable=True),
    _text("job_id", nullable=True),
    _text("commit", nullable=True),
    _text("nx_version", nullable=True),
    _flag("is_main"),
    *_enum("state", AgentState),
    _time("joined_at"),
    _time("seen_at"),
    _time("claimed_at", nullable=True),
    _time("left_at", nullable=True),
    _text("left_reason", nullable=True),
    UniqueConstraint("ci_run_id", "agent_key"),
    CheckConstraint("(state IN ('left', 'lost')) = (left_at IS NOT NULL)", name="left_when_gone"),
)
LIVE_AGENT = agents.c.state.in_(["joined", "draining"])
Index("ix_agents_live", agents.c.seen_at, sqlite_where=LIVE_AGENT, postgresql_where=LIVE_AGENT)

leases = Table(
    "leases",
    metadata,
    Column("lease_id", String(64), primary_key=True),
    _run_key(),
    _id("invocation_id"),
    _text("task_id"),
    Column("agent_id", String(64), ForeignKey("agents.agent_id", ondelete="CASCADE"), nullable=False),
    Column("attempt", Integer, nullable=False),
    _flag("runs_alone"),
    *_enum("state", LeaseState),
    _time("granted_at"),
    _time("expires_at"),
    _time("times_out_at", nullable=True),
    _time("slow_at", nullable=True),
    _time("slow_noted_at", nullable=True),
    _text("reported", nullable=True),
    _time("ended_at", nullable=True),
    UniqueConstraint("invocation_id", "task_id", "attempt"),
    ForeignKeyConstraint(
        ["invocation_id", "task_id"], ["tasks.invocation_id", "tasks.task_id"], ondelete="CASCADE"
    ),
    CheckConstraint("(state = 'live') = (ended_at IS NULL)", name="ended_unless_live"),
    CheckConstraint("attempt >= 1", name="attempt_counts"),
)
LIVE_LEASE = leases.c.state == "live"
Index(
    "uq_leases_live",
    leases.c.invocation_id,
    leases.c.task_id,
    unique=True,
    sqlite_where=LIVE_LEASE,
    postgresql_where=LIVE_LEASE,
)
ALONE = text("state = 'live' AND runs_alone")
Index("uq_leases_alone", leases.c.agent_id, unique=True, sqlite_where=ALONE, postgresql_where=ALONE)
Index("ix_leases_live_agent", leases.c.agent_id, sqlite_where=LIVE_LEASE, postgresql_where=LIVE_LEASE)
# For the deletion of old runs: what is deleted looks for what refers to it.
Index("ix_leases_ci_run_id", leases.c.ci_run_id)
Index("ix_leases_agent_id", leases.c.agent_id)
Index("ix_leases_live_expiry", leases.c.expires_at, sqlite_where=LIVE_LEASE, postgresql_where=LIVE_LEASE)

# One row: when a coordinator, any of them, last looked after deadlines.
presence = Table(
    "presence",
    metadata,
    Column("presence_id", Integer, primary_key=True, autoincrement=False),
    _time("at_work_at"),
    CheckConstraint("presence_id = 1", name="only_one"),
)

records = Table(
    "records",
    metadata,
    Column("record_id", String(64), primary_key=True),
    _run_key(),
    _text("record_key"),
    _text("command"),
    Column("code", BigInteger, nullable=False),
    _text("terminal_output"),
    _time("started_at"),
    _time("ended_at"),
    UniqueConstraint("ci_run_id", "record_key"),
)

artifacts = Table(
    "artifacts",
    metadata,
    Column("workspace_id", String(128), ForeignKey("workspaces.workspace_id"), nullable=False),
    Column("artifact_id", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    _time("created_at"),
    _id("ci_run_id", nullable=True),
    Column("blob_key", Text, nullable=False, server_default=""),
    _used(),
    PrimaryKeyConstraint("workspace_id", "artifact_id"),
)
Index("ix_artifacts_last_used_at", artifacts.c.last_used_at, artifacts.c.size)
Index("uq_artifacts_blob_key", artifacts.c.blob_key, unique=True)

# Blobs that no artifact names: reserved before they are written, condemned when their artifact is deleted. Whatever
# interleaves or crashes, a blob is named here or by an artifact, so none is forgotten and none removed too early.
loose_blobs = Table(
    "loose_blobs",
    metadata,
    Column("blob_key", String(512), primary_key=True),
    _flag("is_condemned"),
    _time("since"),
)

cache_entries = Table(
    "cache_entries",
    metadata,
    Column("workspace_id", String(128), nullable=False),
    *_enum("scope", CacheScope),
    Column("scope_id", String(64), nullable=False),
    Column("task_hash", String(512), nullable=False),
    Column("artifact_id", String(64), nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("code", Integer, nullable=False),
    CheckConstraint("code = 0", name="only_successes"),
    _id("producer_ci_run_id", nullable=True),
    _text("producer_job_id", nullable=True),
    _text("producer_ref", nullable=True),
    _time("created_at"),
    _used(),
    PrimaryKeyConstraint("workspace_id", "scope", "scope_id", "task_hash"),
    ForeignKeyConstraint(
        ["workspace_id", "artifact_id"], ["artifacts.workspace_id", "artifacts.artifact_id"]
    ),
    CheckConstraint("(scope = 'shared') = (scope_id = '')", name="scope_id_by_scope"),
)
Index("ix_cache_entries_artifact", cache_entries.c.workspace_id, cache_entries.c.artifact_id)
Index("ix_cache_entries_last_used_at", cache_entries.c.last_used_at)

task_durations = Table(
    "task_durations",
    metadata,
    Column("workspace_id", String(128), ForeignKey("workspaces.workspace_id"), nullable=False),
    Column("project", String(512), nullable=False),
    Column("target", String(512), nullable=False),
    Column("configuration", String(512), nullable=False),  # '' for none: a key column cannot be null
    Column("duration_s", Float, nullable=False),
    *_count("samples"),
    _time("updated_at"),
    PrimaryKeyConstraint("workspace_id", "target", "project", "configuration"),
)

task_hash_outcomes = Table(
    "task_hash_outcomes",
    metadata,
    Column("workspace_id", String(128), ForeignKey("workspaces.workspace_id"), nullable=False),
    Column("task_hash", String(512), nullable=False),
    _flag("has_succeeded"),
    _flag("has_failed"),
    _time("updated_at"),
    PrimaryKeyConstraint("workspace_id", "task_hash"),
    CheckConstraint("has_succeeded OR has_failed", name="has_some"),
)
Index("ix_task_hash_outcomes_updated_at", task_hash_outcomes.c.updated_at)

events = Table(
    "events",
    metadata,
    _run_key(),
    *_count("sequence", least=1),
    _time("at"),
    *_enum("kind", EventKind),
    _text("message"),
    _text("reason", nullable=True),
    _id("invocation_id", nullable=True),
    _text("task_id", nullable=True),
    Column("attempt", Integer, nullable=True),
    _id("agent_id", nullable=True),
    _text("agent_name", nullable=True),
    _id("lease_id", nullable=True),
    Column("result", JsonText, nullable=True),
    PrimaryKeyConstraint("ci_run_id", "sequence"),
)
TASK_EVENT = events.c.task_id.is_not(None)
Index(
    "ix_events_task",
    events.c.invocation_id,
    events.c.task_id,
    sqlite_where=TASK_EVENT,
    postgresql_where=TASK_EVENT,
)

"""What must always hold is refused by the database itself, whoever writes: each rule is broken once, in raw SQL."""

# ruff: noqa: S608 - nothing but names of columns is put into the statements
from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from nx_dte.coordinator.store.sql import dialect, tables
from tests.integration.store.old_rows import fill

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

_TASK_COLUMNS = ", ".join(column.name for column in tables.tasks.c if column.name != "task_id")
_LEASE_COLUMNS = ", ".join(
    column.name for column in tables.leases.c if column.name not in {"lease_id", "task_id", "runs_alone"}
)
_RUN_COLUMNS = ", ".join(
    f'"{column.name}"' for column in tables.ci_runs.c if column.name not in {"ci_run_id", "attempt"}
)
OVER = "state = 'finished', outcome = 'succeeded', ended_at = created_at, running_invocations = 0"
ENDED = "state = 'finished', tasks_unfinished = 0, live_leases = 0, ended_at = created_at"

# What must be refused, by the rule that refuses it; after it runs what is allowed, where that is not plain.
BROKEN = {
    # Runs
    "uq_ci_runs_open": f"INSERT INTO ci_runs (ci_run_id, attempt, {_RUN_COLUMNS}) SELECT 'S', 2, {_RUN_COLUMNS} FROM ci_runs",
    "uq_ci_runs_workspace_id_ci_id_environment_attempt": (
        f"UPDATE ci_runs SET state = 'stopping'; INSERT INTO ci_runs (ci_run_id, attempt, {_RUN_COLUMNS})"
        f" SELECT 'S', 1, {_RUN_COLUMNS} FROM ci_runs"
    ),
    "ck_ci_runs_ended_when_over": "UPDATE ci_runs SET ended_at = created_at",
    "ck_ci_runs_outcome_when_over": "UPDATE ci_runs SET outcome = 'succeeded'",
    "ck_ci_runs_nothing_runs_when_over": f"UPDATE ci_runs SET {OVER.replace('= 0', '= 1')}",
    "ck_ci_runs_over_when_completed": "UPDATE ci_runs SET is_completed = {true}, running_invocations = 0",
    "ck_ci_runs_token_access_known": "UPDATE ci_runs SET token_access = 'paused'",
    "ck_ci_runs_running_invocations_counts": "UPDATE ci_runs SET running_invocations = -1",
    # Invocations
    "ck_invocations_running_while_unfinished": "UPDATE invocations SET tasks_unfinished = 0, live_leases = 0",
    "ck_invocations_ended_unless_running": "UPDATE invocations SET ended_at = created_at",
    "ck_invocations_outcome_unless_running": "UPDATE invocations SET outcome = 'succeeded'",
    "ck_invocations_counts_within_total": "UPDATE invocations SET tasks_failed = 2",
    "ck_invocations_leases_within_unfinished": "UPDATE invocations SET live_leases = 2",
    # Tasks
    "ck_tasks_outcome_when_finished": "UPDATE tasks SET outcome = 'succeeded' WHERE state = 'leased'",
    "ck_tasks_ended_when_finished": "UPDATE tasks SET ended_at = leased_at WHERE state = 'leased'",
    "ck_tasks_ready_needs_dependencies": "UPDATE tasks SET unfinished_dependencies = 1 WHERE state = 'leased'",
    "ck_tasks_blocked_by_something": "UPDATE tasks SET state = 'blocked' WHERE state = 'leased'",
    "ck_tasks_leased_by_someone": "UPDATE tasks SET agent_id = NULL WHERE state = 'leased'",
    "ck_tasks_artifact_whole": "UPDATE tasks SET artifact_size = NULL",
    "ck_tasks_attempt_counts": "UPDATE tasks SET attempt = 0",
    # Leases
    "uq_leases_live": (
        "INSERT INTO leases (lease_id, task_id, runs_alone, {lease})"
        " SELECT 'M', task_id, runs_alone, {lease_next} FROM leases"
    ),
    "uq_leases_invocation_id_task_id_attempt": (
        "UPDATE leases SET state = 'expired', ended_at = granted_at;"
        " INSERT INTO leases (lease_id, task_id, runs_alone, {lease})"
        " SELECT 'M', task_id, runs_alone, {lease} FROM leases"
    ),
    "uq_leases_alone": (
        f"UPDATE leases SET runs_alone = {{true}}; INSERT INTO tasks (task_id, {_TASK_COLUMNS})"
        f" SELECT 'c:build', {_TASK_COLUMNS} FROM tasks WHERE state = 'leased';"
        " INSERT INTO leases (lease_id, task_id, runs_alone, {lease})"
        " SELECT 'M', 'c:build', runs_alone, {lease} FROM leases"
    ),
    "ck_leases_ended_unless_live": "UPDATE leases SET state = 'reported'",
    "ck_leases_attempt_counts": "UPDATE leases SET attempt = 0",
    # The rest
    "ck_agents_left_when_gone": "UPDATE agents SET state = 'lost'",
    "ck_cache_entries_only_successes": "UPDATE cache_entries SET code = 1",
    "ck_cache_entries_scope_id_by_scope": "UPDATE cache_entries SET scope_id = 'R'",
    "ck_events_kind_known": "UPDATE events SET kind = 'nothing_happened'",
    "ck_events_sequence_counts": "UPDATE events SET sequence = 0 WHERE sequence = 1",
    "ck_presence_only_one": "INSERT INTO presence SELECT 2, at_work_at FROM presence",
    "pk_events": "UPDATE events SET sequence = 1 WHERE sequence = 2",
    "pk_cache_entries": "INSERT INTO cache_entries SELECT * FROM cache_entries",
    # A result never points at a missing artifact.
    "fk_cache_entries_artifacts": "DELETE FROM artifacts",
    "fk_leases_tasks": "UPDATE leases SET task_id = 'none'",
}


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """A migrated database with a row in every table."""
    made = dialect.open_engine(dialect.parse_url(database_url), writes=True)
    with made.begin() as connection:
        fill(connection)
    yield made
    made.dispose()


def refusal(engine: Engine, statements: str) -> str:
    """Which rule refuses the last of the statements, as far as the database says; nothing of it stays."""
    *before, statement = statements.split(";")
    with engine.connect() as connection:
        for allowed in before:
            connection.exec_driver_sql(allowed)
        try:
            connection.exec_driver_sql(statement.strip())
        except IntegrityError as error:
            return str(error.orig.diag.constraint_name if is_server(engine) else error.orig)  # type: ignore[union-attr]
    return "nothing"


def is_server(engine: Engine) -> bool:
    return engine.dialect.name == "postgresql"


def test_the_database_refuses_what_must_never_be(engine: Engine) -> None:
    words = {
        "true": "TRUE" if is_server(engine) else "1",
        "lease": _LEASE_COLUMNS,
        "lease_next": re.sub(r"\battempt\b", "attempt + 1", _LEASE_COLUMNS),
    }

    refused_by = {rule: refusal(engine, statements.format(**words)) for rule, statements in BROKEN.items()}

    # SQLite names the columns of a unique index, and of a reference nothing.
    missed = {
        rule: said
        for rule, said in refused_by.items()
        if rule not in said
        and (is_server(engine) or rule.startswith("ck_") or "constraint failed" not in said)
    }
    assert missed == {}


def test_the_way_out_is_open(engine: Engine) -> None:
    """The rules forbid none of what happens when a run ends."""
    with engine.begin() as connection:
        for statement in (
            "UPDATE tasks SET state = 'finished', outcome = 'failed', ended_at = leased_at WHERE state = 'leased'",
            "UPDATE leases SET state = 'reported', ended_at = granted_at",
            f"UPDATE invocations SET {ENDED}, outcome = 'failed', tasks_failed = 1",
            f"UPDATE ci_runs SET {OVER.replace('succeeded', 'failed')}",
            "UPDATE agents SET state = 'left', left_at = seen_at",
        ):
            assert connection.execute(sa.text(statement)).rowcount == 1

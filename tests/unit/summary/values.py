"""Runs and tasks as a coordinator shows them, with only what a test is about."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from nx_dte.model.access import TokenAccess
from nx_dte.model.run import CiRunState
from nx_dte.model.task import TaskOutcome, TaskState
from nx_dte.protocol.base import ArtifactRef
from nx_dte.protocol.runs import CiRunView
from nx_dte.protocol.tasks import TaskView
from nx_dte.summary import RunReport

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def run(**other: Any) -> CiRunView:
    """A CI run that has just been completed."""
    fields: dict[str, Any] = {
        "ci_run_id": "RUN",
        "workspace": "default",
        "ci_id": "70",
        "environment": "",
        "attempt": 1,
        "state": CiRunState.FINISHED,
        "outcome": None,
        "reason": None,
        "distribute_by_default": True,
        "stop_agents_after": (),
        "agents_joined": 2,
        "agents": (),
        "invocations": (),
        "created_at": NOON,
        "ended_at": None,
        "token_access": TokenAccess.READ_WRITE,
        "main_ping_s": 5,
        "sequence": 1,
    }
    return CiRunView(**{**fields, **other})


def task(
    task_id: str,
    outcome: TaskOutcome | None = TaskOutcome.SUCCEEDED,
    *,
    begins_s: float = 0,
    takes_s: float = 1,
    **other: Any,
) -> TaskView:
    """A task that agent `a1` ran, `begins_s` after noon."""
    project, target, *configuration = task_id.split(":")
    has_run = outcome in {TaskOutcome.SUCCEEDED, TaskOutcome.FAILED}
    began = NOON + timedelta(seconds=begins_s)
    fields: dict[str, Any] = {
        "invocation_id": "INV",
        "task_id": task_id,
        "project": project,
        "target": target,
        "configuration": configuration[0] if configuration else None,
        "state": TaskState.FINISHED,
        "outcome": outcome,
        "code": {TaskOutcome.SUCCEEDED: 0, TaskOutcome.FAILED: 1}.get(outcome)
        if outcome is not None
        else None,
        "nx_status": "success",
        "hash": "h",
        "attempt": 1,
        "agent_id": "A" if has_run else None,
        "agent_name": "a1" if has_run else None,
        "dependencies": (),
        "priority_s": 1,
        "expected_s": None,
        "ready_at": began,
        "started_at": began if has_run else None,
        "ended_at": began + timedelta(seconds=takes_s) if has_run else None,
        "artifact": ArtifactRef(artifact_id="0" * 64, size=10) if has_run else None,
    }
    return TaskView(**{**fields, **other})


def report(*tasks: TaskView, exit_code: int = 0, **other: Any) -> RunReport:
    """A report of a main job with one command."""
    return RunReport(**{"run": run(), "tasks": tasks, "exit_code": exit_code, "url": "http://c", **other})

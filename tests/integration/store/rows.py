"""Values to store: one run with an invocation of three tasks, an agent and its lease."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from nx_dte.model.access import Token, TokenAccess
from nx_dte.model.agent import Agent
from nx_dte.model.ids import AgentId, CiRunId, InvocationId, JobId, LeaseId, TaskId, TokenId, WorkspaceId
from nx_dte.model.invocation import Invocation
from nx_dte.model.lease import Lease
from nx_dte.model.run import CiRun
from nx_dte.model.task import Task, TaskState

if TYPE_CHECKING:
    from nx_dte.coordinator.store.base import Session

NOW = datetime(2026, 1, 1, 12, 30, 15, 123456, tzinfo=UTC)
RUN = CiRun(
    ci_run_id=CiRunId("R"),
    workspace_id=WorkspaceId("w"),
    ci_id="1",
    environment="",
    token_access=TokenAccess.READ_WRITE,
    job_id=JobId("9"),
    stop_agents_after=("e2e", "build:production"),
    created_at=NOW,
    main_seen_at=NOW,
)
INVOCATION = Invocation(
    invocation_id=InvocationId("I"),
    ci_run_id=RUN.ci_run_id,
    invocation_key="k",
    command="nx build",
    targets=("build",),
    tasks_total=3,
    tasks_unfinished=3,
    created_at=NOW,
)
AGENT = Agent(
    agent_id=AgentId("A"), ci_run_id=RUN.ci_run_id, agent_key="a", name="agent-1", joined_at=NOW, seen_at=NOW
)
LEASE = Lease(
    lease_id=LeaseId("L"),
    ci_run_id=RUN.ci_run_id,
    invocation_id=INVOCATION.invocation_id,
    task_id=TaskId("a"),
    agent_id=AGENT.agent_id,
    attempt=1,
    granted_at=NOW,
    expires_at=NOW + timedelta(seconds=30),
)


def a_run(name: str, **other: Any) -> CiRun:
    return replace(RUN, ci_run_id=CiRunId(name), ci_id=name, **other)


def a_task(name: str, *dependencies: str, **other: Any) -> Task:
    made = Task(
        invocation_id=INVOCATION.invocation_id,
        ci_run_id=RUN.ci_run_id,
        task_id=TaskId(name),
        project=name,
        target="build",
        dependencies=tuple(map(TaskId, dependencies)),
        state=TaskState.BLOCKED if dependencies else TaskState.READY,
        unfinished_dependencies=len(dependencies),
    )
    return replace(made, **other)


def a_token(name: str) -> Token:
    return Token(
        token_id=TokenId(name),
        workspace_id=WorkspaceId("w"),
        access=TokenAccess.READ_ONLY,
        token_sha256=name,
        created_at=NOW,
    )


def filled(session: Session) -> None:
    session.insert_run(RUN)
    session.insert_invocation(INVOCATION)
    session.insert_tasks([a_task("a"), a_task("b", "a"), a_task("c", "b")])


def filled_and_leased(session: Session) -> None:
    filled(session)
    session.insert_agent(AGENT)
    session.update_tasks([a_task("a", state=TaskState.LEASED, agent_id=AGENT.agent_id, leased_at=NOW)])
    session.insert_leases([LEASE])

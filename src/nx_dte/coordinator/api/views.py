"""From model values to wire models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nx_dte.protocol import agents as wire_agents
from nx_dte.protocol import runs as wire_runs
from nx_dte.protocol import tasks as wire_tasks
from nx_dte.protocol.base import ArtifactRef

if TYPE_CHECKING:
    from nx_dte.coordinator.engine.queries import News, RunOverview
    from nx_dte.coordinator.scheduler.answers import ClaimAnswer, ReportAnswer
    from nx_dte.model import task as model
    from nx_dte.model.agent import Agent
    from nx_dte.model.event import Event
    from nx_dte.model.invocation import Invocation


def run_view(overview: RunOverview, *, main_ping_s: float) -> wire_runs.CiRunView:
    """A CI run with its agents and invocations."""
    run = overview.run
    return wire_runs.CiRunView(
        ci_run_id=run.ci_run_id,
        workspace=run.workspace_id,
        ci_id=run.ci_id,
        environment=run.environment,
        attempt=run.attempt,
        state=run.state,
        outcome=run.outcome,
        reason=run.reason,
        distribute_by_default=run.distribute_by_default,
        stop_agents_after=run.stop_agents_after,
        agents_joined=len(overview.agents),
        agents=tuple(_agent_summary(agent) for agent in overview.agents),
        invocations=tuple(_invocation_summary(invocation) for invocation in overview.invocations),
        created_at=run.created_at,
        ended_at=run.ended_at,
        token_access=run.token_access,
        main_ping_s=main_ping_s,
        sequence=run.sequence,
        has_failed=run.is_failed or any(invocation.tasks_failed for invocation in overview.invocations),
    )


def _agent_summary(agent: Agent) -> wire_runs.AgentSummary:
    return wire_runs.AgentSummary(
        agent_id=agent.agent_id,
        name=agent.name,
        state=agent.state,
        joined_at=agent.joined_at,
        left_at=agent.left_at,
        left_reason=agent.left_reason,
    )


def _invocation_summary(invocation: Invocation) -> wire_runs.InvocationSummary:
    return wire_runs.InvocationSummary(
        invocation_id=invocation.invocation_id,
        command=invocation.command,
        state=invocation.state,
        outcome=invocation.outcome,
    )


def artifact_ref(artifact: model.ArtifactRef | None) -> ArtifactRef | None:
    """An archive that can be downloaded."""
    return None if artifact is None else ArtifactRef(artifact_id=artifact.artifact_id, size=artifact.size)


def task_view(task: model.Task) -> wire_tasks.TaskView:
    """A task."""
    return wire_tasks.TaskView(
        invocation_id=task.invocation_id,
        task_id=task.task_id,
        project=task.project,
        target=task.target,
        configuration=task.configuration,
        state=task.state,
        outcome=task.outcome,
        code=task.code,
        nx_status=task.nx_status,
        hash=task.task_hash,
        attempt=task.attempt,
        agent_id=task.agent_id,
        agent_name=task.agent_name,
        dependencies=task.dependencies,
        priority_s=task.priority_s,
        expected_s=task.expected_s,
        ready_at=task.ready_at,
        started_at=task.started_at,
        ended_at=task.ended_at,
        artifact=artifact_ref(task.artifact),
    )


def event_view(event: Event) -> wire_tasks.EventView:
    """One thing that happened."""
    return wire_tasks.EventView(
        sequence=event.sequence,
        at=event.at,
        kind=event.kind,
        invocation_id=event.invocation_id,
        task_id=event.task_id,
        attempt=event.attempt,
        agent_id=event.agent_id,
        agent_name=event.agent_name,
        lease_id=event.lease_id,
        reason=event.reason,
        message=event.message,
        result=None if event.result is None else _result_view(event.result),
    )


def _result_view(result: model.TaskResult) -> wire_tasks.ResultView:
    return wire_tasks.ResultView(
        outcome=result.outcome,
        code=result.code,
        nx_status=result.nx_status,
        hash=result.task_hash,
        artifact=artifact_ref(result.artifact),
        outputs=result.outputs,
        cacheable=result.is_cacheable,
        started_at=result.started_at,
        ended_at=result.ended_at,
    )


def news_view(news: News, *, after: int, limit: int) -> wire_tasks.EventsAnswer:
    """Events, and where things stand.

    `sequence` is where to go on: behind the last event shown, or, when all were shown, behind everything there is.
    """
    is_cut = len(news.events) >= limit
    sequence = news.events[-1].sequence if is_cut else max(after, news.run.sequence)
    invocation = news.invocation
    return wire_tasks.EventsAnswer(
        events=tuple(event_view(event) for event in news.events),
        sequence=sequence,
        ci_run_state=news.run.state,
        invocation=None
        if invocation is None
        else wire_tasks.InvocationProgress(
            state=invocation.state,
            outcome=invocation.outcome,
            tasks_total=invocation.tasks_total,
            tasks_finished=invocation.tasks_total - invocation.tasks_unfinished,
            agents_live=news.agents_live,
        ),
    )


def claim_view(answer: ClaimAnswer) -> wire_agents.ClaimAnswer:
    """What an agent is given."""
    return wire_agents.ClaimAnswer(
        state=answer.state.value,
        reason=answer.reason,
        message=answer.message or None,
        leases=tuple(
            wire_agents.GrantedLease(
                lease_id=grant.lease.lease_id,
                invocation_id=grant.lease.invocation_id,
                task_id=grant.lease.task_id,
                attempt=grant.lease.attempt,
                hash=grant.task.task_hash,
                lease_expires_at=grant.lease.expires_at,
            )
            for grant in answer.grants
        ),
        sequence=answer.sequence,
    )


def report_view(answer: ReportAnswer) -> wire_agents.ReportResult:
    """Whether a report counted."""
    return wire_agents.ReportResult(
        lease_id=answer.lease_id,
        accepted=answer.is_accepted,
        reason=None if answer.refusal is None else answer.refusal.value,
    )

"""Routes of agents: join, claim, heartbeat, report, leave."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request

from nx_dte.coordinator.api.services import Caller, Services, patience
from nx_dte.coordinator.api.views import claim_view, report_view
from nx_dte.coordinator.scheduler import events
from nx_dte.model.ids import AgentId, ArtifactId, JobId, LeaseId, TaskHash
from nx_dte.protocol import agents as wire

if TYPE_CHECKING:
    from nx_dte.coordinator.api.services import ApiServices
    from nx_dte.coordinator.auth import Identity
    from nx_dte.coordinator.engine.waiting import Patience

router = APIRouter(prefix="/api/v1/agents", tags=["agents"])


@router.post("")
async def join(body: wire.JoinAgent, request: Request, caller: Caller, services: Services) -> wire.JoinAnswer:
    """Join the newest attempt of a CI run."""
    event = events.AgentJoined(
        agent_key=body.agent_key,
        name=body.name,
        token_access=caller.access,
        instance=body.instance,
        kind=body.type,
        job_id=None if body.job_id is None else JobId(body.job_id),
        commit=body.commit,
        nx_version=body.nx_version,
        is_main=body.is_main,
    )
    key = (caller.workspace_id, body.ci_id, body.environment)
    answer = await services.engine.agents.join(key, event, patience(request, body.wait_s))
    limits = services.engine.limits
    return wire.JoinAnswer(
        decision=answer.decision.value,
        agent_id=None if answer.agent is None else answer.agent.agent_id,
        ci_run_id=None if answer.run is None else answer.run.ci_run_id,
        attempt=None if answer.run is None else answer.run.attempt,
        lease_s=limits.lease_s,
        heartbeat_s=limits.heartbeat_s,
        reason=answer.reason,
        message=answer.message or None,
        sequence=None if answer.run is None else answer.run.sequence,
    )


async def _claim(
    services: ApiServices, caller: Identity, agent_id: str, body: wire.Claim, waiting: Patience
) -> wire.ClaimAnswer:
    event = events.TasksClaimed(holding=frozenset(map(LeaseId, body.holding)), slots=body.slots)
    answer = await services.engine.agents.claim(caller, AgentId(agent_id), event, waiting)
    return claim_view(answer)


@router.post("/{agent_id}/claim")
async def claim(
    agent_id: str, body: wire.Claim, request: Request, caller: Caller, services: Services
) -> wire.ClaimAnswer:
    """Ask for work."""
    return await _claim(services, caller, agent_id, body, patience(request, body.wait_s))


@router.post("/{agent_id}/heartbeat")
async def heartbeat(
    agent_id: str, body: wire.Heartbeat, caller: Caller, services: Services
) -> wire.HeartbeatAnswer:
    """Renew leases."""
    event = events.AgentHeartbeat(holding=frozenset(map(LeaseId, body.holding)))
    answer = await services.engine.agents.heartbeat(caller, AgentId(agent_id), event)
    return wire.HeartbeatAnswer(
        state=answer.state.value,
        reason=answer.reason,
        message=answer.message or None,
        revoked=answer.revoked,
        heartbeat_s=services.engine.limits.heartbeat_s,
    )


def _reported(report: wire.Report, caller: Identity) -> events.TaskReported:
    return events.TaskReported(
        lease_id=LeaseId(report.lease_id),
        attempt=report.attempt,
        outcome=events.ReportOutcome(report.outcome),
        code=report.code,
        token_access=caller.access,
        task_hash=None if report.hash is None else TaskHash(report.hash),
        nx_status=report.nx_status,
        artifact_id=None if report.artifact_id is None else ArtifactId(report.artifact_id),
        started_at=report.started_at,
        ended_at=report.ended_at,
        message=report.message,
    )


@router.post("/{agent_id}/reports")
async def report(
    agent_id: str, body: wire.Reports, request: Request, caller: Caller, services: Services
) -> wire.ReportsAnswer:
    """State the end of task attempts, and claim for the slots that are free now."""
    reported = [_reported(item, caller) for item in body.reports]
    answers = await services.engine.agents.report(caller, AgentId(agent_id), reported)
    claimed = None
    if body.claim is not None:
        waiting = patience(request, body.claim.wait_s)
        claimed = await _claim(services, caller, agent_id, body.claim, waiting)
    return wire.ReportsAnswer(results=tuple(report_view(answer) for answer in answers), claim=claimed)


@router.post("/{agent_id}/leave")
async def leave(agent_id: str, body: wire.Leave, caller: Caller, services: Services) -> dict[str, str]:
    """Say goodbye."""
    await services.engine.agents.leave(caller, AgentId(agent_id), body.reason, body.message)
    return {}

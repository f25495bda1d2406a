"""What agents ask of the engine."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from nx_dte.coordinator.engine import loading
from nx_dte.coordinator.engine.acting import agents_topic, join_topic
from nx_dte.coordinator.engine.waiting import until
from nx_dte.coordinator.scheduler import events, state
from nx_dte.coordinator.scheduler.decide import decide
from nx_dte.model.agent import JoinDecision, LeftReason, WorkState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nx_dte.coordinator.auth import Identity
    from nx_dte.coordinator.engine.notifier import Notifier
    from nx_dte.coordinator.engine.runner import EventRunner
    from nx_dte.coordinator.engine.waiting import Patience
    from nx_dte.coordinator.scheduler.answers import (
        ClaimAnswer,
        Decision,
        HeartbeatAnswer,
        JoinAnswer,
        NothingToSay,
        ReportAnswer,
    )
    from nx_dte.coordinator.scheduler.context import Context
    from nx_dte.coordinator.store.base import Reads, Session
    from nx_dte.model.ids import AgentId, CiRunId, WorkspaceId
    from nx_dte.telemetry import Metrics


class Agents:
    """The agents' side of a CI run."""

    def __init__(self, runner: EventRunner, notifier: Notifier, metrics: Metrics) -> None:
        self._runner = runner
        self._notifier = notifier
        self._metrics = metrics

    async def join(
        self, key: tuple[WorkspaceId, str, str], event: events.AgentJoined, patience: Patience
    ) -> JoinAnswer:
        """Join the newest attempt of the key; wait a little for one to be opened."""

        def work(session: Session, context: Context) -> Decision[JoinAnswer]:
            newest = session.lock_newest_run(*key)
            existing = None if newest is None else session.agent_by_key(newest.ci_run_id, event.agent_key)
            return decide(state.JoinSlice(newest=newest, existing=existing), event, context)

        async def attempt() -> JoinAnswer:
            return await self._runner.run_event("agent_joined", work)

        async def is_worth_it() -> bool:
            return await self._runner.read(lambda reads: reads.newest_run(*key)) is not None

        with self._notifier.listen(join_topic(*key)) as listener:
            return await until(
                attempt,
                lambda answer: answer.decision is not JoinDecision.WAIT,
                is_worth_it,
                listener,
                patience,
            )

    async def claim(
        self, who: Identity, agent_id: AgentId, event: events.TasksClaimed, patience: Patience
    ) -> ClaimAnswer:
        """Get work, the word to leave, or after a while nothing."""
        asked = event

        def work(session: Session, context: Context) -> Decision[ClaimAnswer]:
            run, agent = loading.agent_with_run(session, who, agent_id)
            slice_ = loading.claim_slice(session, run, agent, asked, context)
            return decide(slice_, asked, context)

        async def attempt() -> ClaimAnswer:
            nonlocal asked
            began = time.perf_counter()
            answer = await self._runner.run_event("tasks_claimed", work)
            asked = replace(event, is_sign_of_life=False)
            if answer.grants:
                self._metrics.claim_duration_seconds.observe(time.perf_counter() - began)
            return answer

        if patience.wait_s <= 0:
            return await attempt()
        ci_run_id = await self._run_of(who, agent_id)
        with self._notifier.listen(agents_topic(ci_run_id)) as listener:
            return await until(
                attempt,
                lambda answer: bool(answer.grants) or answer.state is WorkState.LEAVE,
                lambda: self._runner.read(lambda reads: _is_there_news(reads, ci_run_id, agent_id)),
                listener,
                patience,
            )

    async def _run_of(self, who: Identity, agent_id: AgentId) -> CiRunId:
        def work(reads: Reads) -> CiRunId:
            agent = loading.found(reads.agent(agent_id), "agent", agent_id)
            loading.run_to_change(reads.run(agent.ci_run_id), who, "agent", agent_id)
            return agent.ci_run_id

        return await self._runner.read(work)

    async def heartbeat(
        self, who: Identity, agent_id: AgentId, event: events.AgentHeartbeat
    ) -> HeartbeatAnswer:
        """Renew the agent's leases."""

        def work(session: Session, context: Context) -> Decision[HeartbeatAnswer]:
            run, agent = loading.agent_with_run(session, who, agent_id)
            leases = session.live_leases_of_agent(agent_id)
            return decide(state.HeartbeatSlice(run=run, agent=agent, live_leases=leases), event, context)

        return await self._runner.run_event("agent_heartbeat", work)

    async def report(
        self, who: Identity, agent_id: AgentId, reports: Sequence[events.TaskReported]
    ) -> list[ReportAnswer]:
        """Take in reports, each an event of its own; together they share a commit."""

        async def one(event: events.TaskReported) -> ReportAnswer:
            def work(session: Session, context: Context) -> Decision[ReportAnswer]:
                run, agent = loading.agent_with_run(session, who, agent_id)
                return decide(
                    loading.report_slice(session, run, agent, event, context.limits), event, context
                )

            return await self._runner.run_event("task_reported", work)

        return list(await asyncio.gather(*(one(event) for event in reports)))

    async def leave(self, who: Identity, agent_id: AgentId, reason: str, message: str | None = None) -> None:
        """An agent says goodbye, and perhaps what made it leave."""
        known = {member.value: member for member in LeftReason}
        event = events.AgentLeft(reason=known.get(reason, LeftReason.OTHER), message=message)

        def work(session: Session, context: Context) -> Decision[NothingToSay]:
            run, agent = loading.agent_with_run(session, who, agent_id)
            return decide(loading.gone_slice(session, run, agent, context.limits), event, context)

        await self._runner.run_event("agent_left", work)


def _is_there_news(reads: Reads, ci_run_id: CiRunId, agent_id: AgentId) -> bool:
    """Whether a claim could have another answer now: asked without writing, so waiting agents cost little."""
    run, agent = reads.run(ci_run_id), reads.agent(agent_id)
    if run is None or agent is None or run.state != "open" or agent.state != "joined":
        return True
    return reads.has_ready_task(ci_run_id)

"""What time brings: expired leases, silent agents, silent mains. Each becomes an event like any other.

The reaper only finds candidates; the decision checks the deadline again inside its transaction, so a heartbeat that
arrives in between wins, and several coordinators on one database do no harm.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog

from nx_dte.coordinator.engine import loading
from nx_dte.coordinator.engine.errors import NotFoundError
from nx_dte.coordinator.scheduler import events, state
from nx_dte.coordinator.scheduler.decide import decide
from nx_dte.errors import NxDteError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from nx_dte.coordinator.engine.runner import EventRunner
    from nx_dte.coordinator.scheduler.answers import Decision, NothingToSay, RunAnswer
    from nx_dte.coordinator.scheduler.context import Context
    from nx_dte.coordinator.store.base import Session
    from nx_dte.model.agent import Agent
    from nx_dte.model.lease import Lease
    from nx_dte.model.run import CiRun

log: structlog.stdlib.BoundLogger = structlog.get_logger("nx_dte.reaper")


class Reaper:
    """Looks at deadlines, again and again."""

    def __init__(self, runner: EventRunner, interval_s: float) -> None:
        self._runner = runner
        self._interval_s = interval_s

    async def start_over(self) -> int:
        """Give everything live a fresh deadline: the coordinator's own absence is nobody else's silence."""
        now = self._runner.now()
        return await self._runner.write(
            lambda session: session.refresh_deadlines(now, now + self._runner.limits.lease)
        )

    async def run_forever(self) -> None:
        """Reap until cancelled; a fault is logged, and the next round tries again."""
        while True:
            await asyncio.sleep(self._interval_s)
            try:
                await self.reap()
            except Exception:
                log.exception("reaping failed")

    async def reap(self) -> None:
        """One round."""
        now, limits = self._runner.now(), self._runner.limits
        silent, leases, runs = await self._runner.read(
            lambda reads: (
                reads.agents_seen_before(now - limits.lease),
                reads.leases_expired_at(now),
                reads.live_runs(),
            )
        )
        for agent in silent:
            await self._try(self._agent_fell_silent(agent))
        gone = {agent.agent_id for agent in silent}
        for lease in leases:
            if lease.agent_id not in gone:
                await self._try(self._lease_expired(lease))
        for run in runs:
            if now - run.main_seen_at > self._silence_allowed(run):
                await self._try(self._main_fell_silent(run))

    def _silence_allowed(self, run: CiRun) -> timedelta:
        limits = self._runner.limits
        is_between_commands = run.require_explicit_completion and run.running_invocations == 0
        return timedelta(
            seconds=limits.explicit_completion_s if is_between_commands else limits.main_silence_s
        )

    async def _try(self, event: Awaitable[object]) -> None:
        try:
            await event
        except NotFoundError:
            return  # gone in the meantime
        except NxDteError as error:
            log.error("a deadline could not be acted on", code=error.code, exc_info=error)

    async def _agent_fell_silent(self, agent: Agent) -> None:
        def work(session: Session, context: Context) -> Decision[NothingToSay]:
            run = loading.found(session.lock_run_of_agent(agent.agent_id), "agent", agent.agent_id)
            current = loading.found(session.agent(agent.agent_id), "agent", agent.agent_id)
            slice_ = loading.gone_slice(session, run, current, context.limits)
            return decide(slice_, events.AgentFellSilent(), context)

        await self._runner.run_event("agent_fell_silent", work)

    async def _lease_expired(self, lease: Lease) -> None:
        def work(session: Session, context: Context) -> Decision[NothingToSay]:
            run = loading.found(session.lock_run_of_lease(lease.lease_id), "lease", lease.lease_id)
            current = loading.found(session.lease(lease.lease_id), "lease", lease.lease_id)
            agent = loading.found(session.agent(current.agent_id), "agent", current.agent_id)
            held = loading.TaskLoader(session, context.limits).held(current, may_end=True)
            return decide(state.ReapSlice(run=run, agent=agent, held=held), events.LeaseExpired(), context)

        await self._runner.run_event("lease_expired", work)

    async def _main_fell_silent(self, silent: CiRun) -> None:
        def work(session: Session, context: Context) -> Decision[RunAnswer]:
            run = loading.found(session.lock_run(silent.ci_run_id), "CI run", silent.ci_run_id)
            slice_ = loading.end_slice(session, run, with_work=True, with_main_jobs=False)
            return decide(slice_, events.MainFellSilent(), context)

        await self._runner.run_event("main_fell_silent", work)

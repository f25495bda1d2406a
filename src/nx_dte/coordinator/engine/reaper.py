"""What time brings: expired leases, hung and slow tasks, silent agents, silent mains. Each becomes an event like any other.

The reaper only finds candidates; the decision checks the deadline again inside its transaction, so a heartbeat that
arrives in between wins, and several coordinators on one database do no harm.
"""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import structlog

from nx_dte.coordinator.engine import loading
from nx_dte.coordinator.engine.errors import NotFoundError
from nx_dte.coordinator.engine.presence import Moment, Watch
from nx_dte.coordinator.scheduler import events, state
from nx_dte.coordinator.scheduler.decide import decide
from nx_dte.errors import NxDteError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from nx_dte.coordinator.engine.runner import EventRunner
    from nx_dte.coordinator.scheduler.answers import Decision, NothingToSay, RunAnswer
    from nx_dte.coordinator.scheduler.context import Context
    from nx_dte.coordinator.store.base import Session
    from nx_dte.model.agent import Agent
    from nx_dte.model.lease import Lease
    from nx_dte.model.run import CiRun

COMPLAIN_EVERY_S = 10.0
LeaseEvent = events.LeaseExpired | events.TaskTimedOut | events.TaskRanLong
_NAMES: Mapping[type[LeaseEvent], str] = {
    events.LeaseExpired: "lease_expired",
    events.TaskTimedOut: "task_timed_out",
    events.TaskRanLong: "task_ran_long",
}

log: structlog.stdlib.BoundLogger = structlog.get_logger("nx_dte.reaper")


class Reaper:
    """Looks at deadlines, again and again."""

    def __init__(
        self,
        runner: EventRunner,
        interval_s: float,
        monotonic: Callable[[], float],
        *,
        set_clock: Callable[[], Awaitable[None]],
    ) -> None:
        self._runner = runner
        self._interval_s = interval_s
        self._monotonic = monotonic
        self._set_clock = set_clock
        self._watch = Watch(lease_s=runner.limits.lease_s, interval_s=interval_s)
        self._last = self._moment()
        self._noted_s = self._complained_s = float("-inf")

    def _moment(self) -> Moment:
        return Moment(wall=self._runner.now(), monotonic_s=self._monotonic())

    async def start_over(self) -> timedelta:
        """Move deadlines by the time that no coordinator was at work: its absence is nobody else's silence.

        Returns by how much they were moved; nothing when another coordinator was there, or it was a moment only.
        """
        await self._set_clock()
        moment = self._moment()
        now = moment.wall

        def work(session: Session) -> tuple[timedelta, int]:
            owed = self._watch.owed(session.lock_presence(), now)
            moved = session.move_deadlines(owed, now, now + self._runner.limits.lease) if owed else 0
            session.note_presence(now, if_live=False)
            return owed, moved

        owed, moved = await self._runner.write(work)
        if moved:
            log.info("deadlines were moved by the time away", away_s=owed.total_seconds(), deadlines=moved)
        self._last, self._noted_s = moment, moment.monotonic_s
        return owed if moved else timedelta()

    async def run_forever(self) -> None:
        """Reap until cancelled; a fault is logged, and the next round tries again."""
        while True:
            await asyncio.sleep(self._interval_s)
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001 - the reaper outlives everything
                self._complain(error)

    async def look(self) -> None:
        """One round: reap, unless time did not pass as it should since the last round that went well.

        Everything in a round happens at its beginning, so a process that is frozen in its midst blames nobody.
        """
        await self._set_clock()
        moment = self._moment()
        if self._watch.was_away(self._last, moment):
            await self.start_over()
            return
        await self.reap(moment.wall)
        if moment.monotonic_s - self._noted_s >= self._watch.note_every_s:
            await self._runner.write(lambda session: session.note_presence(moment.wall, if_live=True))
            self._noted_s = moment.monotonic_s
        self._last = moment

    def _complain(self, error: Exception) -> None:
        """Log a fault, one that lasts not in every round, and one that is not ours without its inside."""
        now_s = self._monotonic()
        if now_s - self._complained_s < COMPLAIN_EVERY_S:
            return
        self._complained_s = now_s
        if isinstance(error, NxDteError):
            log.error(
                "reaping failed", code=error.code, error=error.message, cause=str(error.__cause__ or "")
            )
        else:
            log.error("reaping failed", exc_info=error)

    async def reap(self, now: datetime) -> None:
        """Act on every deadline that had passed at `now`."""
        limits = self._runner.limits
        silent, leases, timed_out, slow, runs = await self._runner.read(
            lambda reads: (
                reads.agents_seen_before(now - limits.lease),
                reads.leases_expired_at(now),
                reads.tasks_timed_out_at(now),
                reads.tasks_slow_at(now),
                reads.live_runs(),
            )
        )
        for agent in silent:
            await self._try(self._agent_fell_silent(agent, now))
        gone = {agent.agent_id for agent in silent}
        for lease in leases:
            if lease.agent_id not in gone:
                await self._try(self._lease_is_due(lease, events.LeaseExpired(), now))
        for lease in timed_out:
            await self._try(self._lease_is_due(lease, events.TaskTimedOut(), now))
        for lease in slow:
            await self._try(self._lease_is_due(lease, events.TaskRanLong(), now))
        for run in runs:
            if now - run.main_seen_at > self._silence_allowed(run):
                await self._try(self._main_fell_silent(run, now))

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
        except Exception as error:  # noqa: BLE001 - one that cannot be decided must not keep the others waiting
            self._complain(error)

    async def _agent_fell_silent(self, agent: Agent, now: datetime) -> None:
        def work(session: Session, context: Context) -> Decision[NothingToSay]:
            run = loading.found(session.lock_run_of_agent(agent.agent_id), "agent", agent.agent_id)
            current = loading.found(session.agent(agent.agent_id), "agent", agent.agent_id)
            slice_ = loading.gone_slice(session, run, current, context.limits)
            return decide(slice_, events.AgentFellSilent(), context)

        await self._runner.run_event("agent_fell_silent", work, at=now)

    async def _lease_is_due(self, lease: Lease, event: LeaseEvent, now: datetime) -> None:
        fails = isinstance(event, events.TaskTimedOut)

        def work(session: Session, context: Context) -> Decision[NothingToSay]:
            run = loading.found(session.lock_run_of_lease(lease.lease_id), "lease", lease.lease_id)
            current = loading.found(session.lease(lease.lease_id), "lease", lease.lease_id)
            agent = loading.found(session.agent(current.agent_id), "agent", current.agent_id)
            held = loading.TaskLoader(session, context.limits).held(current, may_end=True, fails=fails)
            return decide(state.ReapSlice(run=run, agent=agent, held=held), event, context)

        await self._runner.run_event(_NAMES[type(event)], work, at=now)

    async def _main_fell_silent(self, silent: CiRun, now: datetime) -> None:
        def work(session: Session, context: Context) -> Decision[RunAnswer]:
            run = loading.found(session.lock_run(silent.ci_run_id), "CI run", silent.ci_run_id)
            slice_ = loading.end_slice(session, run, with_work=True, with_main_jobs=False)
            return decide(slice_, events.MainFellSilent(), context)

        await self._runner.run_event("main_fell_silent", work, at=now)

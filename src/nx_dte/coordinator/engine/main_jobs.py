"""What main jobs ask of the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nx_dte.coordinator.engine import loading
from nx_dte.coordinator.scheduler import events, state
from nx_dte.coordinator.scheduler.decide import decide
from nx_dte.model.invocation import CancelReason

if TYPE_CHECKING:
    from collections.abc import Callable

    from nx_dte.coordinator.auth import Identity
    from nx_dte.coordinator.engine.runner import EventRunner
    from nx_dte.coordinator.scheduler.answers import Decision, InvocationAnswer, RecordAnswer, RunAnswer
    from nx_dte.coordinator.scheduler.context import Context
    from nx_dte.coordinator.store.base import Session
    from nx_dte.model.ids import CiRunId, InvocationId, RecordId
    from nx_dte.model.run import CiRun

SEEN_AGAIN_S = 1.0  # signs of life closer together than this are worth no transaction
_SEEN_MEMORY = 10_000


class MainJobs:
    """The main job's side of a CI run."""

    def __init__(self, runner: EventRunner, monotonic: Callable[[], float]) -> None:
        self._runner = runner
        self._monotonic = monotonic
        self._seen: dict[CiRunId, float] = {}

    async def open_run(self, event: events.RunOpened) -> CiRun:
        """Open the CI run, or find it."""

        def work(session: Session, context: Context) -> Decision[RunAnswer]:
            session.ensure_workspace(event.workspace_id, context.now)
            return decide(loading.open_slice(session, event), event, context)

        return (await self._runner.run_event("run_opened", work)).run

    async def ping(self, who: Identity, ci_run_id: CiRunId) -> CiRun:
        """Main lives. Cheap when it said so a moment ago."""
        now = self._monotonic()
        if now - self._seen.get(ci_run_id, float("-inf")) < SEEN_AGAIN_S:
            run = await self._runner.read(lambda reads: reads.run(ci_run_id))
            return loading.run_to_change(run, who, "CI run", ci_run_id)

        def work(session: Session, context: Context) -> Decision[RunAnswer]:
            return decide(loading.run_slice(session, who, ci_run_id), events.MainPinged(), context)

        run = (await self._runner.run_event("main_pinged", work)).run
        if len(self._seen) > _SEEN_MEMORY:
            self._seen.clear()
        self._seen[ci_run_id] = now
        return run

    async def main_left(self, who: Identity, ci_run_id: CiRunId, event: events.MainLeft) -> CiRun:
        """A main job's shell has ended."""
        return await self._end(who, ci_run_id, event)

    async def complete(self, who: Identity, ci_run_id: CiRunId, event: events.RunCompleted) -> CiRun:
        """The run is to end now, or with the invocation that still runs."""
        return await self._end(who, ci_run_id, event)

    async def _end(
        self, who: Identity, ci_run_id: CiRunId, event: events.MainLeft | events.RunCompleted
    ) -> CiRun:
        leaves = isinstance(event, events.MainLeft)

        def work(session: Session, context: Context) -> Decision[RunAnswer]:
            run = loading.run_slice(session, who, ci_run_id).run
            slice_ = loading.end_slice(session, run, with_work=leaves, with_main_jobs=leaves)
            return decide(slice_, event, context)

        return (await self._runner.run_event("main_left" if leaves else "run_completed", work)).run

    async def add_record(self, who: Identity, ci_run_id: CiRunId, event: events.RecordReported) -> RecordId:
        """A recorded command has ended."""

        def work(session: Session, context: Context) -> Decision[RecordAnswer]:
            run = loading.run_slice(session, who, ci_run_id).run
            existing = session.record_by_key(ci_run_id, event.record_key)
            return decide(state.RecordSlice(run=run, existing=existing), event, context)

        return (await self._runner.run_event("record_reported", work)).record_id

    async def submit(
        self, who: Identity, ci_run_id: CiRunId, event: events.InvocationSubmitted
    ) -> InvocationAnswer:
        """One command is to be distributed."""

        def work(session: Session, context: Context) -> Decision[InvocationAnswer]:
            run = loading.run_slice(session, who, ci_run_id).run
            return decide(loading.submit_slice(session, run, event), event, context)

        return await self._runner.run_event("invocation_submitted", work)

    async def cancel(self, who: Identity, invocation_id: InvocationId, reason: str) -> InvocationAnswer:
        """Main takes a command back."""
        known = {member.value: member for member in CancelReason}
        event = events.InvocationCancelled(reason=known.get(reason, CancelReason.INTERRUPTED))

        def work(session: Session, context: Context) -> Decision[InvocationAnswer]:
            locked = session.lock_run_of_invocation(invocation_id)
            run = loading.run_to_change(locked, who, "invocation", invocation_id)
            invocation = loading.found(session.invocation(invocation_id), "invocation", invocation_id)
            slice_ = state.CancelSlice(run=run, work=loading.invocation_work(session, invocation))
            return decide(slice_, event, context)

        return await self._runner.run_event("invocation_cancelled", work)

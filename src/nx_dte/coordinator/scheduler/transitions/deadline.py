"""What time brings to a lease: not renewed, timed out, or far slower than expected. Each is looked at again here."""

from dataclasses import replace

from nx_dte.coordinator.scheduler import events
from nx_dte.coordinator.scheduler.answers import Decision, NothingToSay
from nx_dte.coordinator.scheduler.context import Context
from nx_dte.coordinator.scheduler.draft import Draft
from nx_dte.coordinator.scheduler.effects import Counter
from nx_dte.coordinator.scheduler.state import ReapSlice
from nx_dte.coordinator.scheduler.transitions import invocation as invocations
from nx_dte.coordinator.scheduler.transitions import lease as leases
from nx_dte.coordinator.scheduler.transitions import task as tasks
from nx_dte.coordinator.scheduler.wording import spoken
from nx_dte.model.event import EventKind
from nx_dte.model.lease import LeaseState
from nx_dte.model.task import FailureReason, TaskOutcome

TIMEOUT_VARIABLE = "NX_DTE_TASK_TIMEOUT"


def expire(slice_: ReapSlice, _event: events.LeaseExpired, context: Context) -> Decision[NothingToSay]:
    """A lease was not renewed, though its agent may live."""
    draft = Draft(context, slice_.run)
    lease = slice_.held.lease
    if lease.is_live and lease.expires_at <= context.now:
        draft.load_held(slice_.held)
        leases.give_back(draft, slice_.held, slice_.agent, FailureReason.LEASE_EXPIRED)
        invocations.settle(draft, lease.invocation_id)
    return draft.decision(NothingToSay())


def time_out(slice_: ReapSlice, _event: events.TaskTimedOut, context: Context) -> Decision[NothingToSay]:
    """The task is held for longer than its invocation allows: it has failed. Its agent learns it by heartbeat."""
    draft = Draft(context, slice_.run)
    lease, limit_s = slice_.held.lease, slice_.held.invocation.task_timeout_s
    is_due = lease.times_out_at is not None and lease.times_out_at <= context.now
    if limit_s is None or not (lease.is_live and is_due):
        return draft.decision(NothingToSay())
    draft.load_held(slice_.held)
    revoked = leases.end(draft, lease, LeaseState.REVOKED)
    failed = replace(
        slice_.held.task,
        outcome=TaskOutcome.FAILED,
        reason=FailureReason.TIMED_OUT,
        started_at=lease.granted_at,
        ended_at=context.now,
    )
    held_s = tasks.seconds_between(lease.granted_at, context.now)
    message = (
        f"{failed.task_id} failed: agent {slice_.agent.name} was at it for {spoken(held_s)}, and {TIMEOUT_VARIABLE} "
        f"allows {limit_s:g} s. Find out why it hangs, or set a larger {TIMEOUT_VARIABLE} on the main job."
    )
    tasks.finish(draft, failed, message=message, lease=revoked)
    draft.effects.count(Counter.TASK_ATTEMPTS, reason=FailureReason.TIMED_OUT.value)
    tasks.failure_spreads(draft, failed, slice_.held.doomed)
    invocations.settle(draft, lease.invocation_id)
    draft.wake_agents()
    return draft.decision(NothingToSay())


def note_slow(slice_: ReapSlice, _event: events.TaskRanLong, context: Context) -> Decision[NothingToSay]:
    """Tell main, once an attempt, that a task takes far longer than it should; nothing else is done about it."""
    draft = Draft(context, slice_.run)
    lease, task = slice_.held.lease, slice_.held.task
    is_due = lease.slow_at is not None and lease.slow_at <= context.now
    if lease.is_live and is_due and lease.slow_noted_at is None:
        draft.load_held(slice_.held)
        draft.put_lease(replace(lease, slow_noted_at=context.now))
        draft.tell(EventKind.TASK_SLOW, _slow(slice_, context), task=task, lease=lease, agent=slice_.agent)
    return draft.decision(NothingToSay())


def _slow(slice_: ReapSlice, context: Context) -> str:
    task, lease = slice_.held.task, slice_.held.lease
    held_s = tasks.seconds_between(lease.granted_at, context.now)
    usual = "nobody knows yet how long it takes"
    if task.expected_s is not None:
        usual = f"it usually takes {spoken(task.expected_s)}"
    limit_s = slice_.held.invocation.task_timeout_s
    what_next = f"{TIMEOUT_VARIABLE} ends such tasks."
    if limit_s is not None:
        what_next = f"{TIMEOUT_VARIABLE} ends it after {spoken(limit_s)}."
    return (
        f"{task.task_id} runs for {spoken(held_s)} on {slice_.agent.name} so far; {usual}. "
        f"Nothing was done; {what_next}"
    )

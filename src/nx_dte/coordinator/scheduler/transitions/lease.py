"""The lease: granted, renewed, ended; and the task that goes back when it ends without a report."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

from nx_dte.coordinator.scheduler import policy
from nx_dte.coordinator.scheduler.draft import Draft
from nx_dte.coordinator.scheduler.effects import Counter, Histogram
from nx_dte.coordinator.scheduler.state import HeldTask
from nx_dte.coordinator.scheduler.transitions import task as tasks
from nx_dte.model.agent import Agent
from nx_dte.model.event import EventKind
from nx_dte.model.ids import LeaseId
from nx_dte.model.lease import Lease, LeaseState
from nx_dte.model.task import FailureReason, Task, TaskOutcome, TaskState

_LOSSES = frozenset({FailureReason.AGENT_LOST, FailureReason.LEASE_EXPIRED})
_WHAT_HAPPENED = {
    FailureReason.AGENT_LOST: "Agent {agent} was lost",
    FailureReason.AGENT_LEFT: "Agent {agent} left",
    FailureReason.LEASE_EXPIRED: "Agent {agent} did not renew its lease",
    FailureReason.MISMATCH: "Agent {agent} left, because its workspace differs from the main job's",
    FailureReason.NEVER_RECEIVED: "Agent {agent} does not know of its lease",
}


def grant(draft: Draft, task: Task, agent: Agent) -> Lease:
    """Hand the task's current attempt to the agent."""
    timeout_s = draft.invocation_of(task).task_timeout_s
    lease = Lease(
        lease_id=LeaseId(draft.context.new_id()),
        ci_run_id=task.ci_run_id,
        invocation_id=task.invocation_id,
        task_id=task.task_id,
        agent_id=agent.agent_id,
        attempt=task.attempt,
        runs_alone=task.runs_alone,
        granted_at=draft.now,
        expires_at=draft.now + draft.context.limits.lease,
        times_out_at=None if timeout_s is None else draft.now + timedelta(seconds=timeout_s),
        slow_at=draft.now + policy.slow_after(task.expected_s, draft.context.limits),
    )
    draft.leases.add(lease.lease_id, lease)
    leased = replace(
        task, state=TaskState.LEASED, agent_id=agent.agent_id, agent_name=agent.name, leased_at=draft.now
    )
    draft.put_task(leased)
    _count_live(draft, lease, +1)
    message = f"{task.task_id} goes to agent {agent.name}"
    if task.attempt > 1:
        message += f" as attempt {task.attempt}"
    draft.tell(EventKind.TASK_LEASED, f"{message}.", task=leased, lease=lease, agent=agent)
    draft.effects.observe(Histogram.TASK_WAIT, tasks.seconds_between(task.ready_at, draft.now))
    return lease


def renew(draft: Draft, leases: Iterable[Lease]) -> None:
    """Move the deadlines; written only when that moves them by enough to matter."""
    expires_at = draft.now + draft.context.limits.lease
    for lease in leases:
        gain_s = (expires_at - lease.expires_at).total_seconds()
        if lease.is_live and gain_s >= draft.context.limits.heartbeat_s / 2:
            draft.put_lease(replace(lease, expires_at=expires_at))


def end(draft: Draft, lease: Lease, state: LeaseState, *, reported: str | None = None) -> Lease:
    """Take the right away."""
    ended = replace(lease, state=state, ended_at=draft.now, reported=reported)
    draft.put_lease(ended)
    _count_live(draft, lease, -1)
    return ended


def give_back(draft: Draft, held: HeldTask, agent: Agent, reason: FailureReason) -> None:
    """The lease ended without a report: the task becomes the next attempt, or has had its last."""
    is_loss = reason in _LOSSES
    lease = end(draft, held.lease, LeaseState.EXPIRED if is_loss else LeaseState.RELEASED)
    if is_loss:
        draft.effects.count(Counter.LEASES_EXPIRED)
    draft.effects.count(Counter.TASK_ATTEMPTS, reason=reason.value)
    task = draft.tasks.get(held.task.key)
    task = replace(task, lost_attempts=task.lost_attempts + is_loss)
    happened = _WHAT_HAPPENED[reason].format(agent=agent.name)
    if draft.invocation_of(task).has_bailed:
        skipped = replace(task, outcome=TaskOutcome.SKIPPED, reason=FailureReason.BAILED)
        tasks.finish(
            draft, skipped, message=f"{happened}; {task.task_id} is not tried again, the command bailed."
        )
    elif not _is_last_attempt(draft, task):
        requeue(draft, task, lease, happened, reason)
    elif reason is FailureReason.MISMATCH:
        # Every agent may be wrong where only the main job is right: then it does the work itself, and nothing failed.
        message = (
            f"{happened}; so did {task.attempt - 1} before it, and {task.task_id} is left to the main job."
        )
        tasks.leave_to_main(draft, task, held.doomed, reason=reason, message=message)
    else:
        _lose(draft, task, held, happened, reason)
    draft.wake_agents()


def _is_last_attempt(draft: Draft, task: Task) -> bool:
    limits = draft.context.limits
    return task.lost_attempts >= limits.max_lost_attempts or task.attempt >= limits.max_attempts


def requeue(draft: Draft, task: Task, lease: Lease, happened: str, reason: FailureReason) -> None:
    """Put the task back as its next attempt."""
    attempt = task.attempt + 1
    back = replace(
        task,
        state=TaskState.READY,
        attempt=attempt,
        agent_id=None,
        agent_name=None,
        leased_at=None,
        ready_at=draft.now,
    )
    draft.put_task(back)
    message = f"{happened}; {task.task_id} goes back to the queue as attempt {attempt}."
    # The event speaks of the attempt that ended, and of the agent that had it.
    draft.tell(EventKind.TASK_REQUEUED, message, reason=reason.value, task=task, lease=lease)


def _lose(draft: Draft, task: Task, held: HeldTask, happened: str, reason: FailureReason) -> None:
    is_loss = task.lost_attempts >= draft.context.limits.max_lost_attempts
    tries = f"{task.lost_attempts} agents were lost with it" if is_loss else f"it had {task.attempt} attempts"
    lost = replace(
        task, outcome=TaskOutcome.LOST, reason=reason if is_loss else FailureReason.TOO_MANY_ATTEMPTS
    )
    tasks.finish(draft, lost, message=f"{happened}; {task.task_id} is given up, because {tries}.")
    tasks.failure_spreads(draft, lost, held.doomed)


def _count_live(draft: Draft, lease: Lease, change: int) -> None:
    invocation = draft.invocation_of(lease)
    draft.put_invocation(replace(invocation, live_leases=invocation.live_leases + change))

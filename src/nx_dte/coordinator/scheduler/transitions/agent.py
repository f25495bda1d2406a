"""The agent: joins, claims, renews, leaves, or is lost."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

from nx_dte.coordinator.scheduler import events, policy
from nx_dte.coordinator.scheduler.answers import (
    ClaimAnswer,
    Decision,
    Grant,
    HeartbeatAnswer,
    NothingToSay,
)
from nx_dte.coordinator.scheduler.context import Context
from nx_dte.coordinator.scheduler.draft import Draft
from nx_dte.coordinator.scheduler.effects import Counter
from nx_dte.coordinator.scheduler.state import ClaimSlice, GoneSlice, HeartbeatSlice, HeldTask
from nx_dte.coordinator.scheduler.transitions import invocation as invocations
from nx_dte.coordinator.scheduler.transitions import lease as leases
from nx_dte.model.agent import Agent, AgentState, LeftReason, WorkState
from nx_dte.model.event import EventKind
from nx_dte.model.ids import AgentId, TaskKey
from nx_dte.model.run import CiRun, CiRunState
from nx_dte.model.task import FailureReason, Task, TaskState

_WHY_LEAVE = {
    LeftReason.NO_MORE_WORK: "no more work is to come",
    LeftReason.RUN_ENDED: "the CI run has ended",
    LeftReason.RUN_ABANDONED: "the CI run was abandoned, because its main job is gone",
    LeftReason.INTERRUPTED: "its job is going away",
    LeftReason.MISMATCH: "its workspace differs from the main job's",
    LeftReason.SILENT: "it fell silent",
    LeftReason.OTHER: "it chose to",
}


# ------------------------------------------------------------------------------------------ claiming
def claim(slice_: ClaimSlice, event: events.TasksClaimed, context: Context) -> Decision[ClaimAnswer]:
    """Hand out what the agent may run now, or tell it to leave."""
    draft = Draft(context, slice_.run)
    agent_id = slice_.agent.agent_id
    for invocation in slice_.invocations:
        draft.invocations.load(invocation.invocation_id, invocation)
    for held in slice_.held:
        draft.load_held(held)
    draft.load_tasks(slice_.candidates)
    draft.agents.load(agent_id, slice_.agent)
    if event.is_sign_of_life:
        _see(draft, slice_.agent, claims=True)
    elif slice_.agent.state is AgentState.LOST:
        # Only its claim is still here, held by us; whoever sent it may be gone.
        return draft.decision(ClaimAnswer(state=WorkState.WORK, sequence=draft.run.sequence))
    reason = _must_leave(draft.run, draft.agents.get(agent_id))
    if reason is not None:
        return draft.decision(_told_to_leave(draft, agent_id, reason))
    if event.is_sign_of_life:
        _settle_holding(draft, slice_, event)
    grants = _grant(draft, slice_, event) if not _is_draining(draft, agent_id) else ()
    if not grants and not any(lease.is_live for lease in draft.leases.values()):
        reason = _may_leave(draft, agent_id)
        if reason is not None:
            return draft.decision(_told_to_leave(draft, agent_id, reason))
    return draft.decision(ClaimAnswer(state=WorkState.WORK, grants=grants, sequence=draft.run.sequence))


def _settle_holding(draft: Draft, slice_: ClaimSlice, event: events.TasksClaimed) -> None:
    """Renew what the agent names; take back what it should know of by now but does not."""
    patience = timedelta(seconds=draft.context.limits.lease_s / 2)
    agent = slice_.agent
    for held in slice_.held:
        if held.lease.lease_id in event.holding:
            leases.renew(draft, (held.lease,))
        elif draft.now - held.lease.granted_at > patience:
            leases.give_back(draft, held, agent, FailureReason.NEVER_RECEIVED)
    invocations.settle(draft, *(held.invocation.invocation_id for held in slice_.held))


def _grant(draft: Draft, slice_: ClaimSlice, event: events.TasksClaimed) -> tuple[Grant, ...]:
    known = {task.key: task for task in slice_.candidates}
    # A task that has just been taken back may go straight out again.
    known |= {held.task.key: held.task for held in slice_.held}
    chosen = policy.choose(
        (draft.tasks.get(key) for key in known),
        invocations={value.invocation_id: value for value in draft.invocations.values()},
        held=[lease for lease in draft.leases.values() if lease.is_live],
        slots=event.slots,
        held_bytes=slice_.held_bytes,
        barred={key for key in known if slice_.has_peer and _is_avoided(draft, key, slice_.agent)},
    )
    agent = draft.agents.get(slice_.agent.agent_id)
    grants = []
    for task in chosen:
        lease = leases.grant(draft, task, agent)
        grants.append(Grant(lease=lease, task=draft.tasks.get(task.key)))
    if grants and draft.run.state is CiRunState.STOPPING:
        # Perhaps that was the last one: whoever waits beside it may leave.
        draft.wake_agents()
    return tuple(grants)


def _is_avoided(draft: Draft, key: TaskKey, agent: Agent) -> bool:
    """Whether the agent has just failed the task, which may be the agent's own fault."""
    return draft.tasks.get(key).avoid_agent_id == agent.agent_id


def _is_draining(draft: Draft, agent_id: AgentId) -> bool:
    return draft.agents.get(agent_id).state is AgentState.DRAINING


def _must_leave(run: CiRun, agent: Agent) -> LeftReason | None:
    """Whatever it holds, there is nothing left to do for it."""
    if run.state is CiRunState.ABANDONED:
        return LeftReason.RUN_ABANDONED
    if run.state is CiRunState.FINISHED:
        return LeftReason.RUN_ENDED
    if agent.state is AgentState.LEFT:
        return agent.left_reason or LeftReason.OTHER
    return None


def _may_leave(draft: Draft, agent_id: AgentId) -> LeftReason | None:
    """It holds nothing: is there anything it could wait for?"""
    agent, run = draft.agents.get(agent_id), draft.run
    if agent.state is AgentState.DRAINING:
        return agent.left_reason or LeftReason.NO_MORE_WORK
    if run.state.is_over:
        return _must_leave(run, agent)
    if run.state is CiRunState.STOPPING and policy.unassigned_tasks(draft.invocations.values()) == 0:
        return LeftReason.NO_MORE_WORK
    return None


def _told_to_leave(draft: Draft, agent_id: AgentId, reason: LeftReason) -> ClaimAnswer:
    agent = draft.agents.get(agent_id)
    message = f"Agent {agent.name} is told to leave, because {_WHY_LEAVE[reason]}."
    if agent.state is AgentState.JOINED:
        draining = replace(agent, state=AgentState.DRAINING, left_reason=reason)
        draft.put_agent(draining)
        draft.tell(EventKind.AGENT_DRAINING, message, reason=reason.value, agent=draining)
    return ClaimAnswer(state=WorkState.LEAVE, reason=reason, message=message, sequence=draft.run.sequence)


# ---------------------------------------------------------------------------------------- heartbeats
def heartbeat(
    slice_: HeartbeatSlice, event: events.AgentHeartbeat, context: Context
) -> Decision[HeartbeatAnswer]:
    """Renew the leases it names, and tell it which of them are no longer its own."""
    draft = Draft(context, slice_.run)
    _see(draft, slice_.agent)
    live = {lease.lease_id: lease for lease in slice_.live_leases}
    for lease_id, lease in live.items():
        draft.leases.load(lease_id, lease)
    leases.renew(draft, (lease for lease_id, lease in live.items() if lease_id in event.holding))
    revoked = tuple(sorted(event.holding - live.keys()))
    agent = draft.agents.get(slice_.agent.agent_id)
    reason = _must_leave(draft.run, agent)
    if reason is None and agent.state is AgentState.DRAINING:
        reason = agent.left_reason or LeftReason.NO_MORE_WORK
    if reason is None:
        return draft.decision(HeartbeatAnswer(state=WorkState.WORK, revoked=revoked))
    message = f"Agent {agent.name} is to leave, because {_WHY_LEAVE[reason]}."
    return draft.decision(
        HeartbeatAnswer(state=WorkState.LEAVE, reason=reason, message=message, revoked=revoked)
    )


def _see(draft: Draft, agent: Agent, *, claims: bool = False) -> None:
    """It lives. One that was given up is back, with nothing in its hands. Written only when that tells something."""
    draft.agents.load(agent.agent_id, agent)
    if agent.state is AgentState.LOST and not draft.run.state.is_over:
        agent = come_back(draft, agent)
    old = draft.now - timedelta(seconds=draft.context.limits.heartbeat_s / 2)
    is_claim_news = claims and (agent.claimed_at is None or agent.claimed_at <= old)
    if agent.state.is_live and (agent.seen_at <= old or is_claim_news):
        claimed_at = draft.now if claims else agent.claimed_at
        draft.put_agent(replace(agent, seen_at=draft.now, claimed_at=claimed_at))


def come_back(draft: Draft, agent: Agent) -> Agent:
    """A lost agent is heard from again."""
    back = replace(agent, state=AgentState.JOINED, seen_at=draft.now, left_at=None, left_reason=None)
    draft.put_agent(back)
    message = f"Agent {agent.name} is back after it was given up; what it held has gone to others."
    draft.tell(EventKind.AGENT_JOINED, message, agent=back)
    return back


# --------------------------------------------------------------------------------------------- going
def leave(slice_: GoneSlice, event: events.AgentLeft, context: Context) -> Decision[NothingToSay]:
    """It says goodbye; what it holds becomes the next attempt."""
    draft = Draft(context, slice_.run)
    agent = slice_.agent
    if agent.state.is_live:
        is_mismatch = event.reason is LeftReason.MISMATCH
        reason = event.reason if is_mismatch else agent.left_reason or event.reason
        gone = _gone(draft, agent, AgentState.LEFT, reason)
        _tell_of_leaving(draft, gone, reason, note=event.message)
        task_reason = FailureReason.MISMATCH if is_mismatch else FailureReason.AGENT_LEFT
        _give_all_back(draft, slice_.held, gone, task_reason)
    return draft.decision(NothingToSay())


def fall_silent(
    slice_: GoneSlice, _event: events.AgentFellSilent, context: Context
) -> Decision[NothingToSay]:
    """Its deadline passed (looked at again). One that had nothing more to do has simply gone."""
    draft = Draft(context, slice_.run)
    agent = slice_.agent
    if not agent.state.is_live or context.now < agent.seen_at + context.limits.lease:
        return draft.decision(NothingToSay())
    if not slice_.held and (agent.state is AgentState.DRAINING or draft.run.state.is_over):
        reason = agent.left_reason or _must_leave(draft.run, agent) or LeftReason.NO_MORE_WORK
        gone = _gone(draft, agent, AgentState.LEFT, reason)
        _tell_of_leaving(draft, gone, reason)
    else:
        gone = _gone(draft, agent, AgentState.LOST, LeftReason.SILENT)
        message = f"Agent {agent.name} was lost: nothing was heard of it for {context.limits.lease_s:g} s."
        draft.tell(EventKind.AGENT_LOST, message, reason=LeftReason.SILENT.value, agent=gone)
    _give_all_back(draft, slice_.held, gone, FailureReason.AGENT_LOST)
    return draft.decision(NothingToSay())


def _gone(draft: Draft, agent: Agent, state: AgentState, reason: LeftReason) -> Agent:
    draft.agents.load(agent.agent_id, agent)
    gone = replace(agent, state=state, left_at=draft.now, left_reason=reason)
    draft.put_agent(gone)
    draft.effects.count(Counter.AGENTS_LEFT, reason=reason.value)
    # What was kept for it, as the only other agent, is free for all.
    draft.wake_agents()
    return gone


def _tell_of_leaving(draft: Draft, gone: Agent, reason: LeftReason, *, note: str | None = None) -> None:
    because = f", because {_WHY_LEAVE[reason]}"
    if note:
        # What it says of itself says more than that it chose to.
        because = f"{'' if reason is LeftReason.OTHER else because}: {note}"
    message = f"Agent {gone.name} left{because.rstrip('.')}."
    draft.tell(EventKind.AGENT_LEFT, message, reason=reason.value, agent=gone)


def _give_all_back(draft: Draft, held: Iterable[HeldTask], agent: Agent, reason: FailureReason) -> None:
    for one in held:
        draft.load_held(one)
    touched = []
    for one in held:
        if _is_still_leased(draft, one.task):
            leases.give_back(draft, one, agent, reason)
        touched.append(one.invocation.invocation_id)
    invocations.settle(draft, *touched)


def _is_still_leased(draft: Draft, task: Task) -> bool:
    return draft.tasks.get(task.key).state is TaskState.LEASED

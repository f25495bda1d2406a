"""Joining: whether a process becomes an agent of the newest attempt of its pipeline's run."""

from nx_dte.coordinator.scheduler.answers import Decision, JoinAnswer
from nx_dte.coordinator.scheduler.context import Context
from nx_dte.coordinator.scheduler.draft import Draft
from nx_dte.coordinator.scheduler.events import AgentJoined
from nx_dte.coordinator.scheduler.state import JoinSlice
from nx_dte.coordinator.scheduler.transitions.agent import come_back
from nx_dte.model.access import TokenAccess
from nx_dte.model.agent import Agent, AgentState, JoinDecision, JoinReason
from nx_dte.model.event import EventKind
from nx_dte.model.ids import AgentId
from nx_dte.model.run import CiRun, CiRunState


def join(slice_: JoinSlice, event: AgentJoined, context: Context) -> Decision[JoinAnswer]:
    """Let it in, let it wait, send it home or refuse it. Repeated, it is the same agent."""
    run = slice_.newest
    if run is None:
        return _say(
            JoinDecision.WAIT, JoinReason.NO_RUN_YET, "No main job has opened a CI run of this id yet."
        )
    if run.token_access is not event.token_access:
        return _other_access(run, event)
    if _is_over_for_newcomers(run):
        message = f"CI run {run.ci_run_id} (attempt {run.attempt}) is {run.state.value}; there is nothing to do in it."
        return _say(JoinDecision.LEAVE, JoinReason.RUN_OVER, message, run)
    refusal = _refusal(run, event)
    if refusal is not None:
        return _say(JoinDecision.REFUSED, *refusal, run)
    draft = Draft(context, run)
    agent = slice_.existing
    if agent is None:
        agent = _new_agent(draft, event)
    elif agent.state is AgentState.LOST:
        draft.agents.load(agent.agent_id, agent)
        agent = come_back(draft, agent)
    elif agent.state is not AgentState.JOINED:
        message = f"Agent {agent.name} has left CI run {run.ci_run_id} already."
        return _say(JoinDecision.LEAVE, JoinReason.AGENT_LEFT, message, run)
    return draft.decision(JoinAnswer(decision=JoinDecision.JOINED, agent=agent, run=draft.run))


def _other_access(run: CiRun, event: AgentJoined) -> Decision[JoinAnswer]:
    """An untrusted agent gets no part in a trusted run; a trusted one waits for a trusted main job.

    It must not work for the other: what it runs is the main job's choice, with its own token in reach.
    """
    message = (
        f"CI run {run.ci_run_id} was opened with a {run.token_access.value} token, and agent {event.name} has a "
        f"{event.token_access.value} one. Give the main job and the agents of a pipeline the same token."
    )
    is_trusted = event.token_access is TokenAccess.READ_WRITE
    decision = JoinDecision.WAIT if is_trusted else JoinDecision.REFUSED
    return _say(decision, JoinReason.TOKEN_ACCESS_DIFFERS, message)


def _is_over_for_newcomers(run: CiRun) -> bool:
    return run.state.is_over or (run.state is CiRunState.STOPPING and run.running_invocations == 0)


def _refusal(run: CiRun, event: AgentJoined) -> tuple[JoinReason, str] | None:
    """Both sides must run the same code; what one of them does not know cannot differ."""
    for reason, what, mains, agents in (
        (JoinReason.COMMIT_DIFFERS, "commit", run.commit, event.commit),
        (JoinReason.NX_VERSION_DIFFERS, "Nx version", run.nx_version, event.nx_version),
    ):
        if mains and agents and mains != agents:
            message = (
                f"Agent {event.name} has {what} {agents}, but the main job has {mains}; "
                "its results would not be the main job's. Let both jobs check out and install the same."
            )
            return reason, message
    return None


def _new_agent(draft: Draft, event: AgentJoined) -> Agent:
    agent = Agent(
        agent_id=AgentId(draft.context.new_id()),
        ci_run_id=draft.run.ci_run_id,
        agent_key=event.agent_key,
        name=event.name,
        instance=event.instance,
        kind=event.kind,
        job_id=event.job_id,
        commit=event.commit,
        nx_version=event.nx_version,
        is_main=event.is_main,
        joined_at=draft.now,
        seen_at=draft.now,
    )
    draft.agents.add(agent.agent_id, agent)
    draft.tell(EventKind.AGENT_JOINED, f"Agent {agent.name} joined.", agent=agent)
    return agent


def _say(
    decision: JoinDecision, reason: JoinReason, message: str, run: CiRun | None = None
) -> Decision[JoinAnswer]:
    answer = JoinAnswer(decision=decision, reason=reason, message=message, run=run)
    return Decision(facts=(), effects=(), answer=answer)

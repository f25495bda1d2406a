"""Whether jobs of many pipelines can hold all slots and wait for one another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nx_dte.pipeline.finding import FaultCode, Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nx_dte.pipeline.cast import Cast
    from nx_dte.pipeline.ci_job import CiJob

__all__ = ["check_caps", "check_resource_groups", "check_sharing", "check_sums"]


def check_resource_groups(cast: Cast) -> Iterator[Finding]:
    """Do jobs of different pipelines wait for one another?"""
    for job, what in [(job, "agents") for job in cast.agents] + [(job, "main") for job in cast.mains]:
        group = job.body.get("resource_group")
        if group is not None:
            message = f"resource_group {group} on {what}: one job of the project at a time"
            yield Finding.of(job, FaultCode.RESOURCE_GROUP, message, "resource_group")


def check_caps(cast: Cast) -> Iterator[Finding]:
    """Does an agent leave when no main comes?"""
    for agent in cast.agents:
        if not is_capped(agent):
            message = (
                "an agent without a main job waits for an hour: no NX_CLOUD_AGENT_TIMEOUT_MS, no timeout"
            )
            yield Finding.of(agent, FaultCode.UNCAPPED_AGENTS, message, "script")


def check_sharing(cast: Cast) -> Iterator[Finding]:
    """Can a runner's slots be filled with one kind of job?

    A runner takes a job when it has all of the job's tags, so whoever has the larger set takes both.
    """
    if cast.slots.shared is not None:
        return  # the sum says it
    for main in cast.mains:
        for agent in cast.agents:
            if not (main.tags <= agent.tags or agent.tags <= main.tags):
                continue
            if main.tags == agent.tags:
                tags = f"tags {', '.join(sorted(main.tags))}" if main.tags else "no tags"
                what = (
                    f"main job {main.name} and agents have the same {tags}"
                    if main.tags
                    else "neither has tags"
                )
            else:
                what = f"the tags of one ({_listed(main)}) are among those of the other ({_listed(agent)})"
            if _can_deadlock(main, agent):
                message = f"{what}: main jobs can fill all slots while their agents wait for one, and the other way round"
                yield Finding.of(agent, FaultCode.SHARED_SLOTS, message, "tags")
            else:
                message = f"{what}: where slots are short, agents hold some for up to ten minutes before their main runs"
                yield Finding.of(agent, FaultCode.SHARED_SLOTS, message, "tags", severity=Severity.NOTE)


def check_sums(cast: Cast) -> Iterator[Finding]:
    """Do the slots that were given suffice for what the file starts?"""
    agents = cast.agent_count
    if not cast.mains or not agents:
        return
    slots = cast.slots
    main, agent = cast.mains[0], cast.agents[0]
    if slots.shared is not None:
        message = _shared_sum(slots.shared, agents, can_deadlock=_can_deadlock(main, agent))
        if message:
            yield Finding.of(agent, FaultCode.SLOTS, message, "parallel", "tags")
    if slots.main is not None and slots.agent is not None:
        message = _separate_sum(slots.main, slots.agent, agents)
        if message:
            yield Finding.of(agent, FaultCode.SLOTS, message, "parallel", "tags")


def is_capped(agent: CiJob) -> bool:
    """Whether the agent leaves in time when no main comes."""
    has_timeout = agent.sets("NX_CLOUD_AGENT_TIMEOUT_MS") or "timeout" in agent.body
    return agent.is_wrapped or has_timeout


def _can_deadlock(main: CiJob, agent: CiJob) -> bool:
    """Not where main goes on alone and agents leave: `nx-dte orchestrate` with capped agents."""
    return not (main.is_wrapped and is_capped(agent))


def _some(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _shared_sum(slots: int, agents: int, *, can_deadlock: bool) -> str:
    needed = 1 + agents
    fit = slots // needed
    sum_ = f"1 main + {_some(agents, 'agent')} = {needed} slots for a pipeline"
    if fit == 0:
        return f"{sum_}, and there are {slots}: not one has all of its agents. Have {needed} slots, or fewer agents"
    if can_deadlock:
        return (
            f"{sum_}, so {slots} slots carry {fit} at once; {slots} pipelines at once can fill them with main jobs that wait for "
            "agents for ever. Give main and agents slots of their own, and run `nx-dte orchestrate` and `nx-dte agent`"
        )
    return ""


def _separate_sum(mains: int, agent_slots: int, agents: int) -> str:
    if agent_slots < agents:
        return (
            f"{_some(agents, 'agent')} for a pipeline, and {_some(agent_slots, 'agent slot')}: {agents - agent_slots} of them "
            f"start when others have left. Have {_some(agents, 'agent slot')}, or fewer agents"
        )
    needed = mains * agents
    if needed > agent_slots:
        carried = agent_slots // agents
        return (
            f"{_some(mains, 'main job')} at once x {_some(agents, 'agent')} = {needed} agent slots, and there are {agent_slots}, "
            f"enough for {carried}: "
            f"the other main jobs wait. Have {_some(carried, 'main slot')}, or {needed} agent slots"
        )
    return ""


def _listed(job: CiJob) -> str:
    return ", ".join(sorted(job.tags)) or "none"

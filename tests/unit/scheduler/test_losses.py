"""Agents that leave, fall silent or come back, and a coordinator that was away."""

import pytest

from nx_dte.coordinator.scheduler import events, state
from nx_dte.coordinator.scheduler.context import Context
from nx_dte.coordinator.scheduler.decide import decide
from nx_dte.coordinator.scheduler.errors import InvalidTransitionError
from nx_dte.coordinator.scheduler.moves import check_move
from nx_dte.model.agent import AgentState, LeftReason
from nx_dte.model.event import EventKind
from nx_dte.model.ids import JobId
from nx_dte.model.run import RunOutcome
from nx_dte.model.task import FailureReason, TaskState
from tests.unit.scheduler.world import World, task


@pytest.fixture
def world() -> World:
    world = World()
    world.open()
    return world


def lose(world: World, name: str) -> None:
    """A new agent takes what it can and is never heard of again."""
    world.claim(world.join(name))
    world.passes(world.limits.lease_s)
    world.reap()


def test_a_lost_agents_task_goes_to_another_and_main_is_told(world: World) -> None:
    invocation = world.submit(task("shop:build"))
    lose(world, "agent2")
    assert world.messages(EventKind.AGENT_LOST, EventKind.TASK_REQUEUED) == [
        "Agent agent2 was lost: nothing was heard of it for 30 s.",
        "Agent agent2 was lost; shop:build goes back to the queue as attempt 2.",
    ]
    (lease,) = world.claim(world.join("agent3"))
    assert lease.attempt == 2
    world.report(lease)
    assert world.states(invocation) == {"shop:build": "succeeded"}


def test_a_task_that_loses_three_agents_is_given_up(world: World) -> None:
    invocation = world.submit(task("a:b"), task("a:t", "a:b"))
    for name in ("x", "y", "z"):
        assert world.states(invocation)["a:b"] == "ready"
        lose(world, name)
    assert world.states(invocation) == {"a:b": "lost", "a:t": "skipped"}
    assert world.invocations[invocation.invocation_id].outcome is RunOutcome.FAILED
    assert "3 agents were lost with it" in world.messages(EventKind.TASK_FINISHED)[0]


def test_orderly_leaving_does_not_count_as_lost(world: World) -> None:
    invocation = world.submit(task("a:b"))
    for name in ("v", "w", "x", "y", "z"):
        agent = world.join(name)
        world.claim(agent)
        world.leave(agent)
    left = world.task_of(invocation, "a:b")
    assert (left.state, left.attempt, left.lost_attempts) == (TaskState.READY, 6, 0)


def test_leaving_twice_changes_nothing(world: World) -> None:
    agent = world.join()
    world.leave(agent)
    before = len(world.history)
    world.leave(agent)
    world.agent_silent(agent)
    assert len(world.history) == before


def test_silence_and_expiry_are_measured_again_when_decided(world: World) -> None:
    agent = world.join()
    world.submit(task("a:b"))
    (lease,) = world.claim(agent)
    world.passes(world.limits.lease_s - 1)
    world.agent_silent(agent)
    world.expire(lease)
    assert world.leases[lease.lease_id].is_live
    assert world.agents[agent].state is AgentState.JOINED


def test_an_expired_lease_of_a_living_agent_is_a_loss(world: World) -> None:
    agent = world.join()
    invocation = world.submit(task("a:b"))
    world.claim(agent)
    world.passes(world.limits.lease_s)
    world.heartbeat(agent)
    world.reap()
    back = world.task_of(invocation, "a:b")
    assert (back.state, back.lost_attempts) == (TaskState.READY, 1)
    assert world.agents[agent].state is AgentState.JOINED
    assert world.history[-1].reason == FailureReason.LEASE_EXPIRED


def test_a_lost_agent_that_is_heard_from_starts_afresh(world: World) -> None:
    world.submit(task("a:b"), task("b:b"), parallel=2)
    agent = world.join()
    old = world.claim(agent)
    world.passes(world.limits.lease_s)
    world.reap()
    assert world.agents[agent].state is AgentState.LOST
    answer = world.heartbeat(agent, [lease.lease_id for lease in old])
    assert sorted(answer.revoked) == sorted(lease.lease_id for lease in old)
    assert world.agents[agent].state is AgentState.JOINED
    assert [lease.attempt for lease in world.claim(agent)] == [2, 2]


def test_an_agent_that_was_told_to_leave_and_went_is_not_lost(world: World) -> None:
    agent = world.join()
    world.complete()
    world.ask(agent)
    assert world.agents[agent].state is AgentState.DRAINING
    world.passes(world.limits.lease_s)
    world.reap()
    gone = world.agents[agent]
    assert (gone.state, gone.left_reason) == (AgentState.LEFT, LeftReason.RUN_ENDED)
    assert not world.messages(EventKind.AGENT_LOST)


def test_the_coordinators_own_absence_is_nobodys_silence(world: World) -> None:
    agent = world.join()
    invocation = world.submit(task("a:b"))
    (lease,) = world.claim(agent)
    world.passes(3600)
    world.restart()
    world.reap()
    world.main_silent()
    assert world.report(lease).is_accepted
    assert world.states(invocation) == {"a:b": "succeeded"}


def test_moves_outside_the_table_raise_with_the_story() -> None:
    with pytest.raises(
        InvalidTransitionError, match=r"a:b cannot go from finished to ready\.\n  1 task_leased"
    ):
        check_move("a:b", TaskState.FINISHED, TaskState.READY, story=["1 task_leased: a:b goes to agent x."])


def test_an_event_needs_its_own_slice(world: World) -> None:
    context = Context(now=world.now, new_id=lambda: "id")
    with pytest.raises(InvalidTransitionError, match="MainLeft cannot be decided on a OpenSlice"):
        decide(state.OpenSlice(newest=None, is_job_seen=False), events.MainLeft(job_id=JobId("1")), context)  # type: ignore[call-overload]

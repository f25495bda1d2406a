"""What no agent can do though nothing failed: outputs that find no room, and agents that all differ from main."""

import pytest

from nx_dte.coordinator.scheduler.effects import Counter, CountMetric
from nx_dte.coordinator.scheduler.events import ReportOutcome
from nx_dte.model.agent import AgentState, LeftReason
from nx_dte.model.event import EventKind
from nx_dte.model.ids import TaskId
from nx_dte.model.invocation import InvocationState
from nx_dte.model.lease import LeaseState, ReportRefusal
from nx_dte.model.run import CiRunState, RunOutcome
from nx_dte.model.task import FailureReason, TaskState
from tests.unit.scheduler.world import World, task


@pytest.fixture
def world() -> World:
    world = World()
    world.open()
    return world


# ---------------------------------------------------------------------------------------- not stored
@pytest.mark.parametrize("bail", [False, True])
def test_what_could_not_be_stored_is_left_to_main_with_all_that_depends_on_it(
    world: World, *, bail: bool
) -> None:
    agent = world.join("agent-1")
    invocation = world.submit(
        task("ui:build"),
        task("ui:test", "ui:build"),
        task("ui:e2e", "ui:test", "lib:build"),
        task("lib:build"),
        task("lib:test", "lib:build"),
        nx_bail=bail,
    )
    leases = {lease.task_id: lease for lease in world.claim(agent)}
    assert set(leases) == {"ui:build", "lib:build"}
    assert world.not_stored(leases[TaskId("ui:build")], "5 GiB are more than 4 GiB.").is_accepted
    assert world.states(invocation) == {
        "ui:build": "cancelled",
        "ui:test": "cancelled",
        "ui:e2e": "cancelled",
        "lib:build": "leased",
        "lib:test": "blocked",
    }
    assert world.messages(EventKind.TASK_FINISHED)[0] == (
        "ui:build's outputs could not be stored: 5 GiB are more than 4 GiB; "
        "the main job runs it and what depends on it."
    )
    world.report(leases[TaskId("lib:build")])
    world.work_off([agent])
    assert world.states(invocation)["lib:test"] == "succeeded"


def test_it_is_no_failure_but_no_success_either(world: World) -> None:
    agent = world.join()
    invocation = world.submit(task("a:b"), targets=("b",))
    (lease,) = world.claim(agent)
    world.not_stored(lease)
    done = world.invocations[invocation.invocation_id]
    assert (done.state, done.outcome) == (InvocationState.FINISHED, None)
    assert (done.tasks_failed, done.tasks_cancelled) == (0, 1)
    assert world.run.state is CiRunState.OPEN
    assert not world.run.is_failed
    left = world.task_of(invocation, "a:b")
    assert (left.reason, left.code, left.artifact) == (FailureReason.NOT_STORED, None, None)
    assert not world.hash_outcomes
    assert not world.cache
    assert world.messages(EventKind.INVOCATION_FINISHED) == [
        "`nx affected` has ended: 1 tasks, 0 failed, 1 left to the main job."
    ]
    assert world.complete().outcome is RunOutcome.SUCCEEDED


def test_a_failure_beside_it_is_still_a_failure(world: World) -> None:
    agent = world.join()
    invocation = world.submit(task("a:b"), task("b:b"))
    one, two = world.claim(agent)
    world.not_stored(one)
    world.fail(two)
    assert world.invocations[invocation.invocation_id].outcome is RunOutcome.FAILED


def test_it_counts_for_the_stop_targets() -> None:
    world = World()
    world.open(stop_agents_after=("b",))
    world.submit(task("a:b"), targets=("b",))
    (lease,) = world.claim(world.join())
    world.not_stored(lease)
    assert world.run.state is CiRunState.STOPPING


def test_the_same_report_again_gets_the_first_answer_and_another_none(world: World) -> None:
    agent = world.join()
    world.submit(task("a:b"))
    (lease,) = world.claim(agent)
    world.not_stored(lease)
    before = world.snapshot()
    assert world.not_stored(lease).is_accepted
    assert world.snapshot() == before
    assert world.report(lease).refusal is ReportRefusal.LEASE_NOT_LIVE


def test_only_the_holder_may_say_so(world: World) -> None:
    holder, other = world.join("a"), world.join("b")
    invocation = world.submit(task("a:b"))
    (lease,) = world.claim(holder)
    answer = world.report(lease, by=other, outcome=ReportOutcome.NOT_STORED)
    assert answer.refusal is ReportRefusal.NOT_YOUR_LEASE
    assert world.states(invocation) == {"a:b": "leased"}


# ------------------------------------------------------------------------------------------ mismatch
def test_an_agent_that_differs_says_what_differs_and_its_work_goes_on_elsewhere(world: World) -> None:
    agent = world.join("agent-2")
    invocation = world.submit(task("ui:build"))
    (lease,) = world.claim(agent)
    world.leave(
        agent, LeftReason.MISMATCH, 'ui:build: outputs differ: main has ["dist/ui"], this agent has [].'
    )
    assert world.messages(EventKind.AGENT_LEFT) == [
        (
            "Agent agent-2 left, because its workspace differs from the main job's: "
            'ui:build: outputs differ: main has ["dist/ui"], this agent has [].'
        )
    ]
    gone = world.agents[agent]
    assert (gone.state, gone.left_reason) == (AgentState.LEFT, LeftReason.MISMATCH)
    back = world.task_of(invocation, "ui:build")
    assert (back.state, back.attempt, back.lost_attempts) == (TaskState.READY, 2, 0)
    assert world.leases[lease.lease_id].state is LeaseState.RELEASED
    assert CountMetric(counter=Counter.AGENTS_LEFT, labels=(("reason", "mismatch"),)) in world.done


def test_when_all_agents_differ_the_task_is_left_to_main(world: World) -> None:
    invocation = world.submit(task("a:b"), task("a:t", "a:b"))
    for number in range(world.limits.max_attempts):
        assert world.states(invocation)["a:b"] == "ready"
        agent = world.join(f"agent-{number}")
        world.claim(agent)
        world.leave(agent, LeftReason.MISMATCH, "a:b: inputs differ.")
    assert world.states(invocation) == {"a:b": "cancelled", "a:t": "cancelled"}
    assert world.invocations[invocation.invocation_id].outcome is None
    assert not world.run.is_failed


def test_one_that_was_told_to_leave_left_for_that_reason_unless_it_differs(world: World) -> None:
    told, differs = world.join("a"), world.join("b")
    world.complete()
    for agent in (told, differs):
        world.ask(agent)
    world.leave(told)
    world.leave(differs, LeftReason.MISMATCH)
    assert world.agents[told].left_reason is LeftReason.RUN_ENDED
    assert world.agents[differs].left_reason is LeftReason.MISMATCH

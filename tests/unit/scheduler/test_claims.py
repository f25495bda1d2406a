"""Claiming: who gets what, slots, tasks that run alone, and answers that were lost."""

import pytest

from nx_dte.model.agent import AgentState, JoinDecision, JoinReason, WorkState
from nx_dte.model.duration import DurationKey
from nx_dte.model.ids import LeaseId
from nx_dte.model.lease import Lease, LeaseState
from tests.unit.scheduler.world import World, task


@pytest.fixture
def world() -> World:
    world = World()
    world.open()
    return world


def names(leases: list[Lease]) -> list[str]:
    return [str(lease.task_id) for lease in leases]


# ------------------------------------------------------------------------------------------- joining
def test_an_agent_waits_for_its_run() -> None:
    assert World().ask_to_join().decision is JoinDecision.WAIT


def test_joining_again_is_the_same_agent(world: World) -> None:
    assert world.join("a") == world.join("a")
    assert world.join("a", agent_key="another process") != world.join("a")


@pytest.mark.parametrize(
    ("main", "agent", "reason"),
    [
        ({"commit": "aaa"}, {"commit": "bbb"}, JoinReason.COMMIT_DIFFERS),
        ({"nx_version": "20.8.4"}, {"nx_version": "20.8.3"}, JoinReason.NX_VERSION_DIFFERS),
        ({"commit": "aaa"}, {"commit": None}, None),
        ({}, {"commit": "bbb", "nx_version": "20.8.4"}, None),
    ],
)
def test_agents_must_have_mains_code(
    main: dict[str, str], agent: dict[str, str], reason: JoinReason | None
) -> None:
    world = World()
    world.open(**main)
    answer = world.ask_to_join(**agent)
    assert answer.reason is reason
    assert answer.decision is (JoinDecision.REFUSED if reason else JoinDecision.JOINED)
    if reason:
        assert all(value in answer.message for value in (*main.values(), *agent.values()))


def test_the_newest_attempt_counts(world: World) -> None:
    world.complete()
    assert world.ask_to_join("a").decision is JoinDecision.LEAVE
    second = world.open("992")
    assert world.agents[world.join("a")].ci_run_id == second.ci_run_id


# ------------------------------------------------------------------------------------------ claiming
def test_agents_are_filled_not_spread(world: World) -> None:
    first, second = world.join("a"), world.join("b")
    world.submit(task("a:t"), task("b:t"), parallel=2)
    assert len(world.claim(first)) == 2
    assert world.claim(second) == []


def test_the_longest_path_goes_first_then_the_id(world: World) -> None:
    world.durations = {DurationKey("z", "t", None): 5.0}
    world.submit(task("b:t"), task("a:t"), task("z:t"), parallel=3)
    assert names(world.claim(world.join())) == ["z:t", "a:t", "b:t"]


def test_ties_go_where_the_dependencies_bytes_are(world: World) -> None:
    first, second = world.join("a"), world.join("b")
    world.submit(task("x:b"), task("y:b"), task("x:t", "x:b"), task("y:t", "y:b"), parallel=1)
    (x,), (y,) = world.claim(first), world.claim(second)
    for lease in (x, y):
        world.report(lease, artifact_id=world.store_artifact(f"of {lease.task_id}"))
    assert names(world.claim(second)) == ["y:t"], "its own build's outputs are there already"
    assert names(world.claim(first)) == ["x:t"]


@pytest.mark.parametrize(("slots", "granted"), [(None, 3), (0, 0), (1, 1), (2, 2), (99, 3)])
def test_slots(world: World, slots: int | None, granted: int) -> None:
    world.submit(*(task(f"p{n}:t") for n in range(9)), parallel=3)
    assert len(world.claim(world.join(), slots=slots)) == granted


def test_what_it_holds_takes_slots(world: World) -> None:
    agent = world.join()
    world.submit(*(task(f"p{n}:t") for n in range(9)), parallel=3)
    leases = world.claim(agent)
    assert world.claim(agent) == []
    world.report(leases[0])
    assert len(world.claim(agent)) == 1


def test_each_invocations_parallel_counts(world: World) -> None:
    agent = world.join()
    world.submit(*(task(f"a{n}:t") for n in range(3)), parallel=1)
    assert len(world.claim(agent)) == 1
    world.submit(*(task(f"b{n}:t") for n in range(5)), parallel=3)
    assert names(world.claim(agent)) == ["b0:t", "b1:t"]


def test_one_checkout_never_runs_the_same_task_of_two_commands_at_once(world: World) -> None:
    first, second = world.join("a"), world.join("b")
    for _ in range(2):
        world.submit(task("ui:build"), parallel=3)
    (lease,) = world.claim(first)
    assert world.claim(first) == []
    assert names(world.claim(second)) == ["ui:build"], "another checkout may"
    world.submit(task("ui:build"), parallel=3)
    assert world.claim(first) == []
    world.report(lease)
    assert names(world.claim(first)) == ["ui:build"]


def test_a_lone_task_gets_an_agent_for_itself(world: World) -> None:
    first, second = world.join("a"), world.join("b")
    world.durations = {DurationKey("z", "t", None): 5.0}
    world.submit(task("z:t", is_parallel=False), task("a:t"), task("b:t"), parallel=2)
    (lone,) = world.claim(first)
    assert lone.task_id == "z:t"
    assert world.claim(first) == [], "nothing beside it"
    assert names(world.claim(second)) == ["a:t", "b:t"]


def test_a_lone_task_is_no_reason_to_idle(world: World) -> None:
    agent = world.join()
    world.durations = {DurationKey("z", "t", None): 5.0}
    world.submit(task("a:t"), task("b:t"), parallel=2)
    one, _ = world.claim(agent)
    world.submit(task("z:t", is_cacheable=False), task("c:t"), parallel=2)
    world.report(one)
    assert names(world.claim(agent)) == ["c:t"]


def test_many_lone_tasks_do_not_hide_the_others(world: World) -> None:
    agent = world.join()
    world.submit(task("a:t"), parallel=2)
    world.claim(agent)
    world.durations = {DurationKey(f"z{n}", "t", None): 9.0 for n in range(200)}
    world.submit(*(task(f"z{n}:t", is_parallel=False) for n in range(200)), task("b:t"), parallel=2)
    assert names(world.claim(agent)) == ["b:t"]


# -------------------------------------------------------------------------------------- lost answers
def test_a_lease_its_agent_never_heard_of_goes_out_again(world: World) -> None:
    agent = world.join()
    invocation = world.submit(task("a:t"))
    (unheard,) = world.claim(agent)
    world.passes(world.limits.lease_s / 2)
    assert world.claim(agent, holding=[]) == [], "the answer may still be on its way"
    world.passes(1)
    (again,) = world.claim(agent, holding=[])
    assert (again.attempt, world.leases[unheard.lease_id].state) == (2, LeaseState.RELEASED)
    assert world.task_of(invocation, "a:t").lost_attempts == 0


def test_leases_that_are_dropped_for_ever_come_to_an_end(world: World) -> None:
    agent = world.join()
    invocation = world.submit(task("a:t"), task("b:t", "a:t"))
    for _ in range(world.limits.max_attempts + 1):
        world.claim(agent, holding=[])
        world.passes(world.limits.lease_s / 2 + 1)
    assert world.states(invocation) == {"a:t": "lost", "b:t": "skipped"}


def test_a_claim_is_a_heartbeat(world: World) -> None:
    agent = world.join()
    world.submit(task("a:t"))
    (lease,) = world.claim(agent)
    for _ in range(10):
        world.passes(world.limits.lease_s - 1)
        world.ask(agent)
        world.reap()
    assert world.leases[lease.lease_id].is_live
    assert world.agents[agent].state is AgentState.JOINED


def test_heartbeats_renew_what_they_name(world: World) -> None:
    agent = world.join()
    world.submit(task("a:t"), task("b:t"))
    kept, dropped = world.claim(agent)
    world.passes(world.limits.lease_s - 1)
    assert world.heartbeat(agent, [kept.lease_id, LeaseId("of nobody")]).revoked == ("of nobody",)
    world.passes(2)
    world.reap()
    assert world.leases[kept.lease_id].is_live
    assert world.leases[dropped.lease_id].state is LeaseState.EXPIRED


def test_an_agent_that_left_gets_nothing(world: World) -> None:
    agent = world.join()
    world.submit(task("a:t"))
    world.leave(agent)
    assert world.ask(agent).state is WorkState.LEAVE
    assert world.ask_to_join("a").decision is JoinDecision.LEAVE


def test_an_agent_that_becomes_free_hears_of_the_lone_task_it_waits_beside(world: World) -> None:
    agent = world.join()
    world.submit(task("a:t"), parallel=2)
    (lease,) = world.claim(agent)
    world.submit(task("z:t", is_parallel=False), parallel=2)
    assert world.claim(agent) == []
    assert agent in world.parked
    world.report(lease)
    assert agent not in world.parked
    assert names(world.claim(agent)) == ["z:t"]


def test_looking_again_for_a_claim_that_waits_is_no_sign_of_life(world: World) -> None:
    agent = world.join()
    world.submit(task("a:t"))
    (lease,) = world.claim(agent)
    for _ in range(3):
        world.passes(world.limits.lease_s / 3 + 1)
        world.ask(agent, is_sign_of_life=False)
        world.reap()
    assert world.leases[lease.lease_id].state is LeaseState.EXPIRED
    assert world.agents[agent].state is AgentState.LOST
    assert world.ask(agent, is_sign_of_life=False).grants == ()
    assert [grant.task.attempt for grant in world.ask(agent).grants] == [2]

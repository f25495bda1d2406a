"""Known-flaky tasks: one more try, on another agent; and who may make a hash known as flaky."""

import pytest

from nx_dte.coordinator.scheduler import policy
from nx_dte.coordinator.scheduler.effects import Counter, CountMetric
from nx_dte.coordinator.scheduler.events import ReportOutcome
from nx_dte.model.access import TokenAccess
from nx_dte.model.event import EventKind
from nx_dte.model.ids import TaskHash
from nx_dte.model.invocation import InvocationState
from nx_dte.model.run import RunOutcome
from nx_dte.model.task import FailureReason
from tests.unit.scheduler.world import World, task

HASH = TaskHash("hash-of-ui:test")


@pytest.fixture
def world() -> World:
    """A run in a workspace where `ui:test` has ended both ways."""
    world = World()
    world.open()
    world.hash_outcomes = {HASH: {True, False}}
    return world


def test_a_known_flaky_task_gets_a_second_try_and_that_counts(world: World) -> None:
    first, second = world.join("agent-1"), world.join("agent-2")
    invocation = world.submit(task("ui:test"), task("ui:e2e", "ui:test"))
    (lease,) = world.claim(first)
    assert world.fail(lease).is_accepted
    assert world.states(invocation) == {"ui:test": "ready", "ui:e2e": "blocked"}
    event = world.history[-1]
    assert (event.kind, event.reason) == (EventKind.TASK_REQUEUED, FailureReason.FLAKY_RETRY)
    assert event.message == (
        "ui:test failed with exit code 1 on agent agent-1, but is known to be flaky; "
        "ui:test goes back to the queue as attempt 2."
    )
    assert world.claim(first) == [], "another agent is there"
    (again,) = world.claim(second)
    world.report(again)
    world.work_off([second])
    done = world.invocations[invocation.invocation_id]
    assert (done.state, done.outcome) == (InvocationState.FINISHED, RunOutcome.SUCCEEDED)
    assert CountMetric(counter=Counter.FLAKY_TASKS) in world.done


def test_two_tries_are_all(world: World) -> None:
    first, second = world.join("agent-1"), world.join("agent-2")
    invocation = world.submit(task("ui:test"))
    (lease,) = world.claim(first)
    world.fail(lease)
    (again,) = world.claim(second)
    world.fail(again)
    assert world.states(invocation) == {"ui:test": "failed"}


@pytest.mark.parametrize("known", [set(), {True}, {False}])
def test_whatever_is_not_known_to_be_flaky_fails_at_once(world: World, known: set[bool]) -> None:
    world.hash_outcomes = {HASH: known}
    invocation = world.submit(task("ui:test"))
    (lease,) = world.claim(world.join())
    world.fail(lease)
    assert world.states(invocation) == {"ui:test": "failed"}


def test_an_agent_alone_may_try_again_itself(world: World) -> None:
    agent = world.join()
    world.submit(task("ui:test"))
    (lease,) = world.claim(agent)
    world.fail(lease)
    (again,) = world.claim(agent)
    assert again.attempt == 2


def test_it_waits_for_a_busy_agent_but_not_for_one_that_leaves(world: World) -> None:
    first, second = world.join("agent-1"), world.join("agent-2")
    world.submit(task("ui:test"), task("x:test"), parallel=1)
    (flaky,), (_busy_with,) = world.claim(first), world.claim(second)
    assert flaky.task_id == "ui:test"
    world.fail(flaky)
    assert world.claim(first) == []
    world.leave(second)
    assert first not in world.parked, "it is woken"
    assert [lease.task_id for lease in world.claim(first)] == ["ui:test"]


def test_it_waits_for_no_agent_that_never_asks_for_work(world: World) -> None:
    first = world.join("agent-1")
    world.join("agent-2")
    world.submit(task("ui:test"))
    (lease,) = world.claim(first)
    world.fail(lease)
    for _ in range(int(policy.AT_WORK.total_seconds() // 10)):
        assert world.claim(first) == []
        world.passes(10)
        world.heartbeat(world.join("agent-2"))
    world.passes(1)
    assert [again.attempt for again in world.claim(first)] == [2]


def test_a_bailing_command_goes_on_after_the_first_failure_of_a_flaky_task(world: World) -> None:
    agent = world.join()
    invocation = world.submit(task("ui:test"), task("x:test"), nx_bail=True, parallel=1)
    (lease,) = world.claim(agent)
    assert lease.task_id == "ui:test"
    world.fail(lease)
    assert world.states(invocation) == {"ui:test": "ready", "x:test": "ready"}


def test_the_report_that_led_to_the_second_try_may_come_again(world: World) -> None:
    first, second = world.join("agent-1"), world.join("agent-2")
    world.submit(task("ui:test"))
    (lease,) = world.claim(first)
    world.fail(lease)
    world.claim(second)
    before = world.snapshot()
    assert world.fail(lease).is_accepted
    assert world.snapshot() == before


def test_the_last_attempt_of_all_is_not_followed_by_another(world: World) -> None:
    world.limits = type(world.limits)(max_attempts=1)
    invocation = world.submit(task("ui:test"))
    (lease,) = world.claim(world.join())
    world.fail(lease)
    assert world.states(invocation) == {"ui:test": "failed"}


# ------------------------------------------------------------------------------------- what is known
@pytest.mark.parametrize(
    ("opened", "reported", "is_remembered"),
    [
        (TokenAccess.READ_WRITE, TokenAccess.READ_WRITE, True),
        (TokenAccess.READ_WRITE, TokenAccess.READ_ONLY, False),
        (TokenAccess.READ_ONLY, TokenAccess.READ_WRITE, False),
    ],
)
def test_only_trusted_runs_make_a_hash_known(
    opened: TokenAccess, reported: TokenAccess, *, is_remembered: bool
) -> None:
    world = World()
    world.open(token_access=opened)
    world.submit(task("a:t"), task("b:t"))
    good, bad = world.claim(world.join())
    world.report(good, token_access=reported)
    world.report(bad, token_access=reported, outcome=ReportOutcome.FAILED, code=1)
    expected = {"hash-of-a:t": {True}, "hash-of-b:t": {False}} if is_remembered else {}
    assert world.hash_outcomes == expected


def test_neither_a_hit_nor_an_agents_own_trouble_says_anything_about_the_task() -> None:
    world = World()
    world.open()
    world.submit(task("a:t"), task("b:t"))
    hit, trouble = world.claim(world.join())
    world.report(hit, nx_status="remote-cache")
    world.report(trouble, outcome=ReportOutcome.FAILED, code=1, message="the executor process was killed")
    assert not world.hash_outcomes

"""Tasks that take too long: timed out where the command says so, mentioned once where it does not."""

import pytest

from nx_dte.coordinator.scheduler import policy
from nx_dte.coordinator.scheduler.context import Limits
from nx_dte.coordinator.scheduler.wording import spoken
from nx_dte.model.duration import DurationKey
from nx_dte.model.event import EventKind
from nx_dte.model.ids import AgentId
from nx_dte.model.invocation import InvocationState
from nx_dte.model.lease import LeaseState, ReportRefusal
from nx_dte.model.run import RunOutcome
from nx_dte.model.task import FailureReason
from tests.unit.scheduler.world import World, task


@pytest.fixture
def world() -> World:
    world = World()
    world.open()
    return world


def alive(world: World, agent: AgentId, seconds: float) -> None:
    """Time passes in which the agent (and main) stay in touch."""
    for _ in range(int(seconds // 10)):
        world.passes(10)
        world.heartbeat(agent, [lease.lease_id for lease in world.live_leases() if lease.agent_id == agent])
        world.ping()
        world.reap()


# ------------------------------------------------------------------------------------------ timeouts
def test_a_task_that_hangs_fails_and_its_agent_is_told(world: World) -> None:
    agent = world.join("agent-2")
    invocation = world.submit(
        task("a:e2e"), task("a:report", "a:e2e"), task("b:test"), task_timeout_s=60, parallel=1
    )
    (lease,) = world.claim(agent)
    assert lease.task_id == "a:e2e"
    alive(world, agent, 50)
    assert world.states(invocation)["a:e2e"] == "leased"
    alive(world, agent, 10)
    assert world.states(invocation) == {"a:e2e": "failed", "a:report": "skipped", "b:test": "ready"}
    assert world.leases[lease.lease_id].state is LeaseState.REVOKED
    assert world.heartbeat(agent, [lease.lease_id]).revoked == (lease.lease_id,)
    failed = world.task_of(invocation, "a:e2e")
    assert (failed.reason, failed.code, failed.attempt) == (FailureReason.TIMED_OUT, None, 1)
    message = world.messages(EventKind.TASK_FINISHED)[0]
    for named in ("a:e2e", "agent-2", "60 s", "NX_DTE_TASK_TIMEOUT"):
        assert named in message


def test_its_late_report_changes_nothing(world: World) -> None:
    agent = world.join()
    invocation = world.submit(task("a:e2e"), task_timeout_s=60)
    (lease,) = world.claim(agent)
    alive(world, agent, 60)
    assert world.report(lease).refusal is ReportRefusal.LEASE_NOT_LIVE
    done = world.invocations[invocation.invocation_id]
    assert (done.state, done.outcome) == (InvocationState.FINISHED, RunOutcome.FAILED)


def test_each_attempt_has_its_own_time(world: World) -> None:
    first, second = world.join("a"), world.join("b")
    invocation = world.submit(task("a:e2e"), task_timeout_s=60)
    world.claim(first)
    alive(world, first, 50)
    world.leave(first)
    world.claim(second)
    alive(world, second, 50)
    assert world.states(invocation) == {"a:e2e": "leased"}
    alive(world, second, 10)
    assert world.states(invocation) == {"a:e2e": "failed"}


def test_without_a_timeout_a_task_may_take_for_ever(world: World) -> None:
    agent = world.join()
    invocation = world.submit(task("a:e2e"))
    (lease,) = world.claim(agent)
    alive(world, agent, 7200)
    world.time_out(lease)
    assert world.states(invocation) == {"a:e2e": "leased"}


def test_a_timeout_is_measured_again_when_decided(world: World) -> None:
    agent = world.join()
    invocation = world.submit(task("a:e2e"), task_timeout_s=60)
    (lease,) = world.claim(agent)
    world.passes(59)
    world.time_out(lease)
    assert world.states(invocation) == {"a:e2e": "leased"}
    world.report(lease)
    world.passes(60)
    before = world.snapshot()
    world.time_out(lease)
    world.note_slow(lease)
    assert world.snapshot() == before, "it was done in time"


def test_a_timeout_bails_like_any_failure(world: World) -> None:
    agent = world.join()
    invocation = world.submit(task("a:e2e"), task("b:e2e"), task_timeout_s=60, parallel=1, nx_bail=True)
    world.claim(agent)
    alive(world, agent, 60)
    assert world.states(invocation) == {"a:e2e": "failed", "b:e2e": "skipped"}


# ----------------------------------------------------------------------------------------- slow ones
def test_a_slow_task_is_mentioned_once_an_attempt_and_goes_on(world: World) -> None:
    world.durations = {DurationKey("ui", "test", None): 40.0}
    agent = world.join("agent-2")
    invocation = world.submit(task("ui:test"))
    (lease,) = world.claim(agent)
    alive(world, agent, 110)
    assert not world.messages(EventKind.TASK_SLOW)
    alive(world, agent, 140)
    assert world.messages(EventKind.TASK_SLOW) == [
        (
            "ui:test runs for 2 m on agent-2 so far; it usually takes 40 s. "
            "Nothing was done; NX_DTE_TASK_TIMEOUT ends such tasks."
        )
    ]
    assert world.states(invocation) == {"ui:test": "leased"}
    world.leave(agent)
    other = world.join("agent-3")
    world.claim(other)
    alive(world, other, 120)
    assert len(world.messages(EventKind.TASK_SLOW)) == 2
    assert world.leases[lease.lease_id].state is LeaseState.RELEASED


def test_two_coordinators_that_find_it_slow_at_once_mention_it_once(world: World) -> None:
    agent = world.join("agent-2")
    world.submit(task("ui:test"))
    (lease,) = world.claim(agent)
    alive(world, agent, 310)
    assert len(world.messages(EventKind.TASK_SLOW)) == 1
    world.note_slow(lease)
    assert len(world.messages(EventKind.TASK_SLOW)) == 1


def test_of_a_task_without_history_it_says_so(world: World) -> None:
    agent = world.join("agent-2")
    world.submit(task("ui:test"), task_timeout_s=900)
    world.claim(agent)
    alive(world, agent, 300)
    assert world.messages(EventKind.TASK_SLOW) == [
        (
            "ui:test runs for 5 m on agent-2 so far; nobody knows yet how long it takes. "
            "Nothing was done; NX_DTE_TASK_TIMEOUT ends it after 15 m."
        )
    ]


@pytest.mark.parametrize(
    ("expected_s", "slow_after_s"),
    [(None, 300), (0.0, 60), (1.0, 61), (29.0, 89), (40.0, 120), (600.0, 1800)],
)
def test_how_long_is_slow(expected_s: float | None, slow_after_s: float) -> None:
    assert policy.slow_after(expected_s, Limits()).total_seconds() == slow_after_s


def test_only_its_own_history_is_expected_of_a_task(world: World) -> None:
    world.durations = {DurationKey("a", "t", None): 7.0}
    world.medians = {"t": 9.0}
    invocation = world.submit(task("a:t"), task("b:t"))
    assert world.task_of(invocation, "a:t").expected_s == 7.0
    assert world.task_of(invocation, "b:t").expected_s is None


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.4, "0.4 s"),
        (3, "3 s"),
        (40.2, "40 s"),
        (250, "4 m 10 s"),
        (120, "2 m"),
        (7500, "2 h 5 m"),
        (3600, "1 h"),
    ],
)
def test_durations_are_spoken(seconds: float, words: str) -> None:
    assert spoken(seconds) == words

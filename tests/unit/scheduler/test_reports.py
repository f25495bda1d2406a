"""Reports: accepted once from who holds the lease; what they bring; failures and bail."""

from datetime import timedelta
from typing import Any

import pytest

from nx_dte.coordinator.scheduler.effects import Counter, CountMetric
from nx_dte.coordinator.scheduler.events import ReportOutcome
from nx_dte.model.access import TokenAccess
from nx_dte.model.cache_entry import CacheScope
from nx_dte.model.duration import DurationKey
from nx_dte.model.event import EventKind
from nx_dte.model.ids import ArtifactId, LeaseId, TaskHash
from nx_dte.model.invocation import InvocationState
from nx_dte.model.lease import ReportRefusal
from nx_dte.model.run import CiRunState, RunOutcome
from tests.unit.scheduler.world import World, task


@pytest.fixture
def world() -> World:
    world = World()
    world.open()
    return world


def test_a_success_makes_dependents_ready(world: World) -> None:
    agent = world.join()
    invocation = world.submit(task("a:b"), task("b:b"), task("c:b", "a:b", "b:b"))
    one, two = world.claim(agent)
    assert world.report(one).is_accepted
    assert world.states(invocation)["c:b"] == "blocked"
    world.report(two)
    assert world.states(invocation)["c:b"] == "ready"
    world.work_off([agent])
    done = world.invocations[invocation.invocation_id]
    assert (done.state, done.outcome) == (InvocationState.FINISHED, RunOutcome.SUCCEEDED)


def test_the_result_is_in_the_event(world: World) -> None:
    agent = world.join("agent-7")
    world.submit(task("a:b", outputs=("dist/a",)))
    (lease,) = world.claim(agent)
    world.passes(2)
    started_at = world.now - timedelta(seconds=1.5)
    world.report(lease, artifact_id=world.store_artifact("cafe", 9), started_at=started_at)
    event = next(event for event in world.history if event.kind is EventKind.TASK_FINISHED)
    assert event.message == "a:b succeeded on agent agent-7 in 1.5 s."
    assert event.result is not None
    assert event.result.artifact is not None
    assert (event.result.outputs, event.result.artifact.size) == (("dist/a",), 9)
    assert (event.agent_name, event.lease_id, event.attempt) == ("agent-7", lease.lease_id, 1)


@pytest.mark.parametrize(
    ("forged", "refusal"),
    [
        ({"lease_id": LeaseId("made-up")}, ReportRefusal.LEASE_NOT_LIVE),
        ({"attempt": 2}, ReportRefusal.ATTEMPT_NOT_CURRENT),
        ({"task_hash": TaskHash("another")}, ReportRefusal.HASH_DIFFERS),
        ({"artifact_id": ArtifactId("not-there")}, ReportRefusal.ARTIFACT_MISSING),
    ],
)
def test_wrong_reports_change_nothing(world: World, forged: dict[str, Any], refusal: ReportRefusal) -> None:
    agent = world.join()
    world.submit(task("a:b"))
    (lease,) = world.claim(agent)
    tasks, leases = dict(world.tasks), dict(world.leases)
    answer = world.report(lease, **forged)
    assert (answer.is_accepted, answer.refusal) == (False, refusal)
    assert (world.tasks, world.leases) == (tasks, leases)
    assert world.history[-1].kind is EventKind.REPORT_REFUSED
    assert CountMetric(counter=Counter.REPORTS_REFUSED, labels=(("reason", refusal.value),)) in world.done


def test_only_the_holder_may_report(world: World) -> None:
    holder, other = world.join("a"), world.join("b")
    world.submit(task("a:b"))
    (lease,) = world.claim(holder)
    assert world.report(lease, by=other).refusal is ReportRefusal.NOT_YOUR_LEASE
    assert world.report(lease).is_accepted


def test_a_late_report_of_an_earlier_attempt_changes_nothing(world: World) -> None:
    slow, quick = world.join("a"), world.join("b")
    invocation = world.submit(task("a:b"))
    (old,) = world.claim(slow)
    world.passes(world.limits.lease_s)
    world.heartbeat(quick)
    world.reap()
    (new,) = world.claim(quick)
    assert world.report(old).refusal is ReportRefusal.LEASE_NOT_LIVE
    assert world.states(invocation) == {"a:b": "leased"}
    assert world.report(new).is_accepted
    assert world.report(old).refusal is ReportRefusal.LEASE_NOT_LIVE


def test_the_same_report_again_gets_the_first_answer(world: World) -> None:
    agent = world.join()
    world.submit(task("a:b"))
    (lease,) = world.claim(agent)
    world.report(lease)
    rows = (dict(world.tasks), list(world.history))
    assert world.report(lease).is_accepted
    assert (world.tasks, world.history) == rows
    contradiction = world.fail(lease)
    assert contradiction.refusal is ReportRefusal.LEASE_NOT_LIVE
    assert world.tasks == rows[0]


# ------------------------------------------------------------------------------------------ failures
def test_a_failure_skips_all_that_depends_on_it_and_nothing_else(world: World) -> None:
    agent = world.join()
    invocation = world.submit(
        task("a:b"), task("a:t", "a:b"), task("a:e", "a:t"), task("b:b"), task("b:t", "b:b")
    )
    world.work_off([agent], lambda lease: lease.task_id != "a:b")
    assert world.states(invocation) == {
        "a:b": "failed",
        "a:t": "skipped",
        "a:e": "skipped",
        "b:b": "succeeded",
        "b:t": "succeeded",
    }
    done = world.invocations[invocation.invocation_id]
    assert (done.state, done.outcome, done.tasks_failed) == (
        InvocationState.FINISHED,
        RunOutcome.FAILED,
        1,
    )
    assert world.run.state is CiRunState.STOPPING, "stop-agents-on-failure"


def test_bail_hands_out_nothing_more_and_lets_running_ones_end(world: World) -> None:
    first, second = world.join("a"), world.join("b")
    invocation = world.submit(
        *(task(f"p{n}:t") for n in range(6)), task("z:t", "p1:t"), parallel=2, nx_bail=True
    )
    (one, two), (three, four) = world.claim(first), world.claim(second)
    world.fail(one)
    assert world.claim(first) == []
    world.report(two)
    world.leave(second)
    assert world.states(invocation) == {
        str(one.task_id): "failed",
        str(two.task_id): "succeeded",
        str(three.task_id): "skipped",
        str(four.task_id): "skipped",
        "p4:t": "skipped",
        "p5:t": "skipped",
        "z:t": "skipped",
    }
    assert world.invocations[invocation.invocation_id].state is InvocationState.FINISHED


def test_bail_also_takes_what_the_same_loss_has_just_put_back() -> None:
    world = World()
    world.open()
    world.limits = type(world.limits)(max_lost_attempts=2)
    agent = world.join()
    invocation = world.submit(task("a:t"), task("b:t"), nx_bail=True, parallel=2)
    (one, _) = world.claim(agent)
    world.passes(world.limits.lease_s - 1)
    world.heartbeat(agent, [lease.lease_id for lease in world.live_leases() if lease != one])
    world.passes(2)
    world.reap()  # the first task has lost its first attempt
    world.claim(agent)
    world.passes(world.limits.lease_s)
    world.reap()  # the agent is lost with both: one of them for the second time
    assert set(world.states(invocation).values()) == {"lost", "skipped"}


# --------------------------------------------------------------------------------- what others gain
@pytest.mark.parametrize(
    ("opened", "reported", "scope"),
    [
        (TokenAccess.READ_WRITE, TokenAccess.READ_WRITE, CacheScope.SHARED),
        (TokenAccess.READ_WRITE, TokenAccess.READ_ONLY, CacheScope.RUN),
        (TokenAccess.READ_ONLY, TokenAccess.READ_WRITE, CacheScope.RUN),
        (TokenAccess.READ_ONLY, TokenAccess.READ_ONLY, CacheScope.RUN),
    ],
)
def test_only_trusted_on_both_sides_is_shared(
    opened: TokenAccess, reported: TokenAccess, scope: CacheScope
) -> None:
    world = World()
    run = world.open(token_access=opened)
    world.submit(task("a:b"))
    (lease,) = world.claim(world.join())
    world.report(lease, token_access=reported, artifact_id=world.store_artifact("cafe"))
    (entry,) = world.cache.values()
    assert entry.scope is scope
    assert entry.scope_id == ("" if scope is CacheScope.SHARED else run.ci_run_id)
    assert (entry.task_hash, entry.artifact_id) == ("hash-of-a:b", "cafe")


@pytest.mark.parametrize(
    ("tasks_more", "submit_more", "report_more"),
    [
        ({"is_cacheable": False}, {}, {}),
        ({}, {"skip_nx_cache": True}, {}),
        ({}, {}, {"outcome": ReportOutcome.FAILED, "code": 1}),
        ({"task_hash": None}, {}, {}),
    ],
)
def test_what_is_never_served_again(
    world: World, tasks_more: dict[str, Any], submit_more: dict[str, Any], report_more: dict[str, Any]
) -> None:
    invocation = world.submit(task("a:b", **tasks_more), **submit_more)
    (lease,) = world.claim(world.join())
    assert world.report(lease, artifact_id=world.store_artifact("cafe"), **report_more).is_accepted
    assert not world.cache
    assert world.task_of(invocation, "a:b").artifact is not None, "it travels all the same"


@pytest.mark.parametrize(("nx_status", "is_learned"), [("success", True), ("remote-cache", False)])
def test_durations_are_learned_from_what_ran(world: World, nx_status: str, *, is_learned: bool) -> None:
    world.submit(task("a:b"))
    (lease,) = world.claim(world.join())
    world.passes(3)
    world.report(lease, started_at=lease.granted_at, nx_status=nx_status)
    assert world.durations == ({DurationKey("a", "b", None): 3.0} if is_learned else {})


def test_a_deferred_hash_is_taken_from_the_report(world: World) -> None:
    invocation = world.submit(task("a:b", task_hash=None))
    (lease,) = world.claim(world.join())
    world.report(lease, task_hash=TaskHash("late"), artifact_id=world.store_artifact("cafe"))
    assert world.task_of(invocation, "a:b").task_hash == "late"
    assert [entry.task_hash for entry in world.cache.values()] == ["late"]

"""Submitting: what is refused, what is finished at once, and priorities."""

from typing import Any

import pytest

from nx_dte.coordinator.scheduler import errors
from nx_dte.coordinator.scheduler.events import Hit, SubmittedTask
from nx_dte.model.duration import DurationKey
from nx_dte.model.event import EventKind
from nx_dte.model.ids import ArtifactId
from nx_dte.model.invocation import InvocationState
from nx_dte.model.run import RunOutcome
from nx_dte.model.task import TaskState
from tests.unit.scheduler.world import World, task


@pytest.fixture
def world() -> World:
    world = World()
    world.open()
    return world


@pytest.mark.parametrize(
    ("tasks", "error", "names"),
    [
        ([task("a:b"), task("a:b")], errors.DuplicateTaskError, "a:b"),
        ([task("a:b", "x:y")], errors.UnknownDependencyError, "x:y"),
        ([task("a:b", "a:b")], errors.DependencyCycleError, "a:b → a:b"),
        (
            [task("a:b", "c:d"), task("c:d", "a:b"), task("r:r", "a:b")],
            errors.DependencyCycleError,
            "a:b → c:d",
        ),
        ([task("a:b"), task("c:d", "a:b", hit=Hit())], errors.UnfoundedHitError, "c:d"),
        ([task("a:b", hit=Hit(artifact_id=ArtifactId("f0")))], errors.HitArtifactMissingError, "f0"),
    ],
)
def test_contradictions_are_refused_and_nothing_is_kept(
    world: World, tasks: list[SubmittedTask], error: type[errors.SchedulerError], names: str
) -> None:
    before = world.snapshot()
    with pytest.raises(error, match=names) as refused:
        world.submit(*tasks)
    assert refused.value.next_step
    assert world.snapshot() == before


def test_nothing_affected_is_finished_at_once(world: World) -> None:
    invocation = world.submit()
    assert (invocation.state, invocation.outcome) == (InvocationState.FINISHED, RunOutcome.SUCCEEDED)


def test_a_warm_cache_is_finished_at_once(world: World) -> None:
    artifact = world.store_artifact("cafe", size=7)
    invocation = world.submit(
        task("a:build", hit=Hit(artifact_id=artifact)), task("a:test", "a:build", hit=Hit())
    )
    assert invocation.state is InvocationState.FINISHED
    assert world.states(invocation) == {"a:build": "cached", "a:test": "cached"}
    stored = world.task_of(invocation, "a:build").artifact
    assert stored is not None
    assert (stored.artifact_id, stored.size) == ("cafe", 7)


def test_tasks_behind_hits_are_ready(world: World) -> None:
    invocation = world.submit(
        task("a:build", hit=Hit()), task("a:test", "a:build"), task("a:e2e", "a:build", "a:test")
    )
    assert world.states(invocation) == {"a:build": "cached", "a:test": "ready", "a:e2e": "blocked"}
    assert world.task_of(invocation, "a:e2e").unfinished_dependencies == 1


def test_the_same_key_gives_the_first_answer_again(world: World) -> None:
    first = world.submit(task("a:build"), invocation_key="k")
    again = world.submit(task("a:build"), invocation_key="k")
    assert again == first
    assert first.submitted_sequence == next(
        event.sequence for event in world.history if event.kind is EventKind.INVOCATION_SUBMITTED
    )


def test_a_dependency_named_twice_is_one_edge(world: World) -> None:
    invocation = world.submit(task("a:build"), task("a:test", "a:build", "a:build"))
    agent = world.join()
    world.work_off([agent])
    assert world.states(invocation)["a:test"] == "succeeded"


def test_priority_is_the_longest_remaining_path(world: World) -> None:
    world.durations = {DurationKey("a", "build", None): 10.0, DurationKey("a", "e2e", None): 30.0}
    world.medians = {"test": 4.0}
    invocation = world.submit(
        task("a:build"), task("a:test", "a:build"), task("a:e2e", "a:build"), task("b:unknown", "a:test")
    )
    wanted = {"a:build": 40.0, "a:test": 5.0, "a:e2e": 30.0, "b:unknown": 1.0}
    assert {name: world.task_of(invocation, name).priority_s for name in wanted} == wanted


def test_priorities_differ_by_configuration(world: World) -> None:
    world.durations = {DurationKey("a", "build", "production"): 9.0}
    invocation = world.submit(task("a:build"), task("a:build:production"))
    assert world.task_of(invocation, "a:build").priority_s == 1.0
    assert world.task_of(invocation, "a:build:production").priority_s == 9.0


@pytest.mark.parametrize(
    ("more", "runs_alone"),
    [
        ({}, False),
        ({"is_parallel": False}, True),
        ({"is_cacheable": False}, True),
        ({"is_cacheable": False, "is_noop": True}, False),
        ({"is_cacheable": False, "is_noop": True, "is_parallel": False}, True),
    ],
)
def test_which_tasks_run_alone(world: World, more: dict[str, Any], *, runs_alone: bool) -> None:
    invocation = world.submit(task("a:build", **more))
    assert world.task_of(invocation, "a:build").runs_alone is runs_alone


def test_ten_thousand_tasks_in_a_chain_need_no_recursion() -> None:
    world = World(is_checking=False)
    world.open()
    invocation = world.submit(task("p0:t"), *(task(f"p{n}:t", f"p{n - 1}:t") for n in range(1, 10_000)))
    assert world.task_of(invocation, "p0:t").priority_s == 10_000.0
    assert world.task_of(invocation, "p9999:t").state is TaskState.BLOCKED


def test_payloads_are_kept_as_they_are(world: World) -> None:
    invocation = world.submit(task("a:build"), payload='{"x":  1}')
    assert world.payloads[invocation.invocation_id] == '{"x":  1}'

"""CI runs: opening, stop rules, completion, and the end of the main job."""

import pytest

from nx_dte.coordinator.scheduler.effects import WakeAgents
from nx_dte.coordinator.scheduler.errors import CiRunClosedError, TokenAccessDiffersError
from nx_dte.model.access import TokenAccess
from nx_dte.model.agent import JoinDecision, LeftReason, WorkState
from nx_dte.model.event import EventKind
from nx_dte.model.invocation import CancelReason, InvocationState
from nx_dte.model.run import CiRunState, RunOutcome, RunReason
from tests.unit.scheduler.world import World, task


@pytest.fixture
def world() -> World:
    return World()


def test_the_same_job_finds_the_open_run_again(world: World) -> None:
    first = world.open()
    assert world.open().ci_run_id == first.ci_run_id
    assert world.messages(EventKind.MAIN_JOINED) == ["Job 991 is a main job of the CI run."]


def test_another_job_joins_the_open_run(world: World) -> None:
    first = world.open()
    assert world.open("992").ci_run_id == first.ci_run_id
    assert len(world.messages(EventKind.MAIN_JOINED)) == 2


def test_only_an_unseen_job_opens_another_attempt(world: World) -> None:
    first = world.open()
    world.complete()
    with pytest.raises(CiRunClosedError, match=f"{first.ci_run_id}.*991"):
        world.open()
    second = world.open("992")
    assert (second.attempt, second.state) == (2, CiRunState.OPEN)
    assert second.ci_run_id != first.ci_run_id


def test_environments_are_runs_of_their_own(world: World) -> None:
    assert world.open().ci_run_id != world.open(environment="nightly").ci_run_id


@pytest.mark.parametrize(
    ("listed", "targets", "configuration", "stops"),
    [
        (("e2e-ci",), ("e2e-ci",), None, True),
        (("e2e-ci",), ("lint", "e2e-ci"), "production", True),
        (("build:production",), ("build",), "production", True),
        (("build:production",), ("build:production",), None, True),
        (("build:production",), ("build",), None, False),
        (("e2e-ci", "build"), ("e2e-ci",), None, False),
        (("build",), ("build-storybook",), None, False),
        ((), ("e2e-ci",), None, False),
    ],
)
def test_stop_agents_after_matches_requested_targets(
    world: World, listed: tuple[str, ...], targets: tuple[str, ...], configuration: str | None, *, stops: bool
) -> None:
    world.open(stop_agents_after=listed)
    world.submit(targets=targets, configuration=configuration)  # nothing affected: no task has the target
    assert world.run.state is (CiRunState.STOPPING if stops else CiRunState.OPEN)


def test_stop_agents_after_waits_for_all_listed(world: World) -> None:
    world.open(stop_agents_after=("lint", "test"))
    world.submit(targets=("test",))
    assert world.run.state is CiRunState.OPEN
    world.submit(targets=("lint",))
    assert (world.run.state, world.run.reason) == (CiRunState.STOPPING, RunReason.STOP_AGENTS_AFTER)


def test_a_running_invocation_does_not_stop_the_agents(world: World) -> None:
    world.open(stop_agents_after=("lint",))
    world.submit(task("a:lint"))
    assert world.run.state is CiRunState.OPEN


@pytest.mark.parametrize(("obeys", "state"), [(True, CiRunState.STOPPING), (False, CiRunState.OPEN)])
def test_a_failing_record_stops_agents_on_failure(world: World, state: CiRunState, *, obeys: bool) -> None:
    world.open(stop_agents_on_failure=obeys)
    world.record(code=1)
    assert (world.run.state, world.run.is_failed) == (state, True)
    assert world.main_left().outcome is RunOutcome.FAILED


def test_a_record_is_kept_once(world: World) -> None:
    world.open()
    assert world.record(key="k") == world.record(key="k")
    assert len(world.messages(EventKind.RECORD_ADDED)) == 1


def test_a_stopping_run_refuses_commands_and_sends_idle_agents_home(world: World) -> None:
    world.open(stop_agents_after=("lint",))
    agent = world.join()
    assert world.ask(agent).state is WorkState.WORK
    world.submit(targets=("lint",))
    assert WakeAgents(ci_run_id=world.run.ci_run_id) in world.done
    answer = world.ask(agent)
    assert (answer.state, answer.reason) == (WorkState.LEAVE, LeftReason.NO_MORE_WORK)
    with pytest.raises(CiRunClosedError):
        world.submit(task("a:build"))
    assert world.ask_to_join("late").decision is JoinDecision.LEAVE


def test_agents_of_a_stopping_run_serve_what_still_runs(world: World) -> None:
    world.open(stop_agents_after=("lint",))
    agent, idle = world.join("a"), world.join("b")
    world.submit(task("a:build"), task("a:test", "a:build"))
    (build,) = world.claim(agent)
    world.submit(targets=("lint",))
    assert world.run.state is CiRunState.STOPPING
    assert world.ask(idle).state is WorkState.WORK, "a:test is still to come"
    world.report(build)
    (test,) = world.claim(agent)
    assert world.ask(idle).state is WorkState.LEAVE, "everything is handed out"
    world.report(test)
    assert world.ask(agent).state is WorkState.LEAVE


def test_completion_ends_an_idle_run_at_once(world: World) -> None:
    world.open()
    agent = world.join()
    run = world.complete()
    assert (run.state, run.outcome, run.reason) == (
        CiRunState.FINISHED,
        RunOutcome.SUCCEEDED,
        RunReason.COMPLETED,
    )
    assert world.ask(agent).reason is LeftReason.RUN_ENDED
    assert world.complete() == world.run


def test_completion_waits_for_the_running_invocation(world: World) -> None:
    world.open()
    agent = world.join()
    world.submit(task("a:build"))
    (lease,) = world.claim(agent)
    assert world.complete().state is CiRunState.STOPPING
    world.report(lease)
    assert world.run.state is CiRunState.FINISHED


def test_main_leaving_between_commands_finishes_the_run(world: World) -> None:
    world.open()
    assert world.main_left().state is CiRunState.FINISHED
    assert world.run.reason is RunReason.MAIN_LEFT


def test_main_leaving_in_the_middle_abandons_the_run(world: World) -> None:
    world.open()
    agent = world.join()
    invocation = world.submit(task("a:build"), task("b:build"), task("a:test", "a:build"), parallel=1)
    (lease,) = world.claim(agent)
    run = world.main_left()
    assert (run.state, run.outcome) == (CiRunState.ABANDONED, RunOutcome.FAILED)
    assert set(world.states(invocation).values()) == {"cancelled"}
    assert world.invocations[invocation.invocation_id].state is InvocationState.CANCELLED
    assert world.heartbeat(agent, [lease.lease_id]).revoked == (lease.lease_id,)
    assert not world.report(lease).is_accepted
    assert world.ask(agent).reason is LeftReason.RUN_ABANDONED


def test_a_run_goes_on_while_another_main_job_is_there(world: World) -> None:
    world.open("991")
    world.open("992")
    assert world.main_left("991").state is CiRunState.OPEN
    assert world.main_left("992").state is CiRunState.FINISHED


def test_explicit_completion_outlives_the_main_job(world: World) -> None:
    world.open(require_explicit_completion=True)
    assert world.main_left().state is CiRunState.OPEN
    world.passes(world.limits.main_silence_s + 1)
    assert world.main_silent().state is CiRunState.OPEN
    world.passes(world.limits.explicit_completion_s)
    assert world.main_silent().state is CiRunState.FINISHED


def test_silence_is_measured_again_when_it_is_decided(world: World) -> None:
    world.open()
    world.passes(world.limits.main_silence_s)
    world.ping()
    assert world.main_silent().state is CiRunState.OPEN
    world.passes(world.limits.main_silence_s)
    assert world.main_silent().state is CiRunState.FINISHED


def test_pings_are_written_only_when_it_matters(world: World) -> None:
    seen_at = world.open().main_seen_at
    world.passes(1)
    assert world.ping().main_seen_at == seen_at
    world.passes(10)
    assert world.ping().main_seen_at > seen_at


def test_three_minutes_of_other_work_kill_nothing(world: World) -> None:
    world.open()
    agent = world.join()
    for _ in range(36):
        world.passes(5)
        world.ping()
        world.heartbeat(agent)
        world.reap()
        world.main_silent()
    invocation = world.submit(task("a:build"))
    world.work_off([agent])
    assert world.states(invocation) == {"a:build": "succeeded"}


@pytest.mark.parametrize(
    ("reason", "state"),
    [(CancelReason.INTERRUPTED, CiRunState.STOPPING), (CancelReason.TAKEN_BACK, CiRunState.OPEN)],
)
def test_a_cancelled_invocation_revokes_its_leases(
    world: World, reason: CancelReason, state: CiRunState
) -> None:
    world.open()
    agent = world.join()
    invocation = world.submit(task("a:build"), task("a:test", "a:build"))
    (lease,) = world.claim(agent)
    world.cancel(invocation, reason)
    assert world.states(invocation) == {"a:build": "cancelled", "a:test": "cancelled"}
    assert world.run.state is state
    assert not world.report(lease).is_accepted
    before = len(world.history)
    world.cancel(invocation, reason)
    assert len(world.history) == before


# ---------------------------------------------------------------------------------- trusted and untrusted
def test_a_trusted_main_ends_the_untrusted_run_in_its_place(world: World) -> None:
    untrusted = world.open("fork", token_access=TokenAccess.READ_ONLY)
    agent = world.join("fork-agent")
    invocation = world.submit(task("a:build"), task("b:build"))
    world.claim(agent, slots=1)

    trusted = world.open("own")

    ended = world.runs[untrusted.ci_run_id]
    assert (trusted.attempt, trusted.state) == (2, CiRunState.OPEN)
    assert (ended.state, ended.outcome, ended.reason) == (
        CiRunState.ABANDONED,
        RunOutcome.FAILED,
        RunReason.TAKEN_OVER,
    )
    assert set(world.states(invocation).values()) == {"cancelled"}
    assert world.live_leases() == []


def test_an_untrusted_job_id_does_not_keep_a_trusted_job_out(world: World) -> None:
    """It may have guessed the job's id as well."""
    world.open("guessed", token_access=TokenAccess.READ_ONLY)
    assert world.open("guessed").attempt == 2


@pytest.mark.parametrize("is_over", [False, True])
def test_an_untrusted_main_gets_no_part_in_a_trusted_run(world: World, *, is_over: bool) -> None:
    world.open("own")
    if is_over:
        world.complete()
    with pytest.raises(TokenAccessDiffersError, match="read-write token"):
        world.open("fork", token_access=TokenAccess.READ_ONLY)


@pytest.mark.parametrize(
    ("run_access", "agent_access", "decision"),
    [
        (TokenAccess.READ_WRITE, TokenAccess.READ_ONLY, JoinDecision.REFUSED),
        (TokenAccess.READ_ONLY, TokenAccess.READ_WRITE, JoinDecision.WAIT),
        (TokenAccess.READ_ONLY, TokenAccess.READ_ONLY, JoinDecision.JOINED),
    ],
)
def test_agents_join_runs_of_their_own_kind(
    world: World, run_access: TokenAccess, agent_access: TokenAccess, decision: JoinDecision
) -> None:
    world.open(token_access=run_access)
    answer = world.ask_to_join(token_access=agent_access)
    assert answer.decision is decision
    assert (answer.run is not None) == (decision is JoinDecision.JOINED)

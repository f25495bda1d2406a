"""The supervisor by histories: what agent processes do, when the job is told to stop, and how it all ends.

Every history runs through the real loop, with a clock that only waiting moves.
"""

from __future__ import annotations

import signal
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nx_dte.agent import Limits
from tests.unit.agent.world import JOINED, Life, Stop, World

CRASH = Life(ends_at=1.0, code=1)
STEADY = Life(ends_at=61.0, code=1)
WORKS = Life(lines=((0.5, JOINED),))
HANGS = Life(lines=((0.5, JOINED),), goodbye_s=None)
DONE = Life(lines=((0.5, JOINED),), ends_at=5.0)
START, END = "[nx-dte] start: a:b\n", "[nx-dte] done: a:b (success)\n"

# name → lives, limits, the exit code, when processes were started
HISTORIES: dict[str, tuple[list[Life], Limits, int, list[float]]] = {
    "one good life": ([DONE], Limits(), 0, [0.0]),
    "the coordinator was lost": ([Life(ends_at=90.0, code=75)], Limits(), 75, [0.0]),
    "no main job came": ([Life(ends_at=600.0, code=76)], Limits(), 76, [0.0]),
    "main has failed": ([Life(ends_at=9.0, code=77)], Limits(), 77, [0.0]),
    "refused": ([Life(ends_at=1.0, code=78)], Limits(), 78, [0.0]),
    "a crash, then a good life": ([CRASH, DONE], Limits(), 0, [0.0, 2.0]),
    "killed, then a good life": ([Life(ends_at=3.0, code=137), DONE], Limits(), 0, [0.0, 4.0]),
    "the pause doubles": ([CRASH] * 6, Limits(), 70, [0.0, 2.0, 5.0, 10.0, 19.0, 36.0]),
    "the pause has a limit": (
        [CRASH] * 4,
        Limits(max_restarts=3, longest_pause_s=1.5),
        70,
        [0.0, 2.0, 4.5, 7.0],
    ),
    "no restart at all": ([CRASH], Limits(max_restarts=0), 70, [0.0]),
    "a steady life begins the count anew": (
        [CRASH, CRASH, STEADY, CRASH, DONE],
        Limits(max_restarts=2),
        0,
        [0.0, 2.0, 5.0, 67.0, 70.0],
    ),
    "an orderly end after crashes": (
        [CRASH, CRASH, Life(ends_at=1.0, code=77)],
        Limits(),
        77,
        [0.0, 2.0, 5.0],
    ),
}


@pytest.mark.parametrize(("lives", "limits", "code", "starts"), HISTORIES.values(), ids=HISTORIES)
def test_a_history_without_a_signal(
    lives: list[Life], limits: Limits, code: int, starts: list[float]
) -> None:
    world = World(lives=lives, limits=limits)
    assert world.run() == code
    assert world.starts == pytest.approx(starts, abs=0.4)
    assert world.rests_ended == len(lives)


def test_giving_up_says_how_often_and_how_it_crashed() -> None:
    world = World(lives=[Life(ends_at=0.1, code=139)] * 3, limits=Limits(max_restarts=2))
    assert world.run() == 70
    assert world.said == [
        "the agent crashed with signal 11; restart 1 of 2 in 1 s",
        "the agent crashed with signal 11; restart 2 of 2 in 2 s",
        "the agent crashed 3 times in a row, last with signal 11: giving up. What it printed stands above",
    ]


# ---------------------------------------------------------------------------------- told to stop
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT, signal.SIGINT, signal.SIGHUP])
@pytest.mark.parametrize("reaches_all_at", [None, 10.0])
def test_a_working_agent_says_goodbye(number: signal.Signals, reaches_all_at: float | None) -> None:
    world = World(lives=[WORKS], stop=Stop(at=10.0, number=number, reaches_all_at=reaches_all_at))
    assert world.run() == 128 + number
    assert world.now < 12
    assert len(world.children[0].told_at) == 1, "a second SIGTERM would cut its goodbye short"
    assert world.said == [f"{number.name}: leaving; what is not finished goes back to the queue"]


def test_whoever_was_told_at_once_has_its_whole_grace_to_say_goodbye() -> None:
    slow = Life(lines=((0.5, JOINED),), goodbye_s=6.0)
    world = World(lives=[slow], stop=Stop(at=10.0, reaches_all_at=10.0))
    assert world.run() == 143
    assert (world.children[0].killed_at, len(world.children[0].told_at)) == (None, 1)
    assert world.now == pytest.approx(16.0, abs=0.2)


def test_an_agent_that_ignores_sigterm_is_killed_when_the_grace_is_over() -> None:
    world = World(lives=[HANGS], stop=Stop(at=10.0))
    assert world.run() == 143
    assert world.children[0].killed_at == pytest.approx(17.0, abs=0.2)


def test_a_grace_of_nothing_kills_at_once() -> None:
    world = World(lives=[HANGS], limits=Limits(grace_s=0.0), stop=Stop(at=10.0))
    assert world.run() == 143
    assert world.now < 10.2


def test_told_in_the_pause_after_a_crash_it_starts_nothing_more() -> None:
    world = World(lives=[CRASH, CRASH], stop=Stop(at=4.0))
    assert (world.run(), len(world.children)) == (143, 2)
    assert world.now < 4.2
    assert world.said[-1] == "SIGTERM: leaving; no agent runs"


def test_told_before_the_agent_has_begun() -> None:
    world = World(lives=[WORKS], stop=Stop(at=0.0))
    assert world.run() == 143
    assert world.now < 3


def test_an_agent_that_was_told_a_moment_earlier_has_not_crashed() -> None:
    """A container's processes are told one after the other; the agent may have ended before the job hears."""
    hasty = Life(goodbye_s=0.0)
    world = World(lives=[hasty], stop=Stop(at=10.3, reaches_all_at=10.0))
    assert world.run() == 143
    assert [line for line in world.said if "crashed" in line] == []


def test_an_agent_that_somebody_else_has_ended_is_started_again() -> None:
    world = World(lives=[Life(ends_at=3.0, code=143), DONE])
    assert world.run() == 0


# ------------------------------------------------------------------------------------- limits
def test_the_idle_limit_counts_from_the_last_task() -> None:
    life = Life(lines=((0.5, JOINED), (20.0, START), (50.0, END)))
    world = World(lives=[life], limits=Limits(idle_limit_s=25.0))
    assert world.run() == 0
    assert world.now == pytest.approx(75.3, abs=0.5)
    assert world.said == ["no task has run here for 25 s: leaving"]


def test_who_waits_for_main_or_runs_a_long_task_is_not_idle() -> None:
    life = Life(lines=((1000.0, JOINED), (1010.0, START), (2000.0, END)), ends_at=2010.0)
    assert World(lives=[life], limits=Limits(idle_limit_s=60.0)).run() == 0


def test_the_lines_of_another_client_never_count_as_idle() -> None:
    life = Life(lines=((1.0, "Waiting for tasks...\n"),), ends_at=500.0, code=0)
    world = World(lives=[life], limits=Limits(idle_limit_s=60.0))
    assert (world.run(), world.said) == (0, [])


def test_the_lifetime_counts_over_restarts() -> None:
    world = World(lives=[Life(ends_at=90.0, code=1), WORKS], limits=Limits(lifetime_s=100.0))
    assert world.run() == 0
    assert world.now == pytest.approx(100.3, abs=0.5)
    assert world.said[-1] == "this agent's lifetime of 100 s is over: leaving"


@pytest.mark.parametrize(("has_failed", "code"), [(False, 0), (True, 77)])
def test_who_leaves_by_a_limit_mirrors_what_has_failed_so_far(*, has_failed: bool, code: int) -> None:
    world = World(lives=[WORKS], limits=Limits(lifetime_s=10.0), has_failed=has_failed)
    assert world.run() == code


def test_told_to_stop_while_it_leaves_by_a_limit_it_ends_as_told() -> None:
    slow = Life(lines=((0.5, JOINED),), goodbye_s=5.0)
    world = World(lives=[slow], limits=Limits(lifetime_s=10.0), stop=Stop(at=12.0))
    assert world.run() == 143


# --------------------------------------------------------------------------------------- always
def test_a_fault_of_the_supervisor_leaves_no_process_behind() -> None:
    world = World(lives=[WORKS], limits=Limits(lifetime_s=10.0))

    def fail(_: str) -> None:
        raise OSError("the log is gone")

    world.said = type("Gone", (list,), {"append": lambda _self, line: fail(line)})()
    with pytest.raises(OSError, match="the log is gone"):
        world.run()
    assert [child for child in world.children if child.is_alive] == []


lives = st.builds(
    Life,
    lines=st.sampled_from(
        [(), ((0.5, JOINED),), ((0.5, JOINED), (1.0, START)), ((0.5, JOINED), (1.0, START), (2.0, END))]
    ),
    ends_at=st.one_of(st.none(), st.floats(0.0, 100.0)),
    code=st.sampled_from([0, 1, 70, 75, 76, 77, 78, 134, 137, 143]),
    goodbye_s=st.one_of(st.none(), st.floats(0.0, 9.0)),
    says_goodbye=st.booleans(),
)


@settings(max_examples=150, deadline=None)
@given(
    history=st.lists(lives, min_size=1, max_size=7),
    at=st.floats(0.0, 120.0),
    reaches_all=st.booleans(),
    limits=st.builds(
        Limits, idle_limit_s=st.one_of(st.none(), st.floats(1.0, 30.0)), max_restarts=st.integers(0, 5)
    ),
)
def test_told_at_any_moment_it_ends_in_time_and_starts_nothing_more(
    history: list[Life], at: float, *, reaches_all: bool, limits: Limits
) -> None:
    endless = [*history, *[Life()] * 6]
    world = World(lives=endless, limits=limits, stop=Stop(at=at, reaches_all_at=at if reaches_all else None))
    code = world.run()
    if world.now < at:
        assert code in {0, 70, 75, 76, 77, 78}
        return
    assert world.now <= at + limits.grace_s + 1.6
    assert all(child.started_at <= at + 0.06 for child in world.children)
    assert all(later.started_at >= earlier.started_at for earlier, later in pairwise(world.children))

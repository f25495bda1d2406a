"""A round is its seed's: the same every time, everywhere, and possible."""

from __future__ import annotations

from tests.chaos.faults import EVERYBODY, MAIN, FaultKind, agent
from tests.chaos.schedule import ALL_KINDS, draw, keep_only

SCENARIOS = [draw(seed, number) for seed in range(40) for number in range(1, 11)]
ENDING = {FaultKind.KILL_AGENT, FaultKind.STOP_AGENT}


def test_the_same_numbers_draw_the_same_round() -> None:
    assert draw(7, 3) == draw(7, 3)
    assert draw(7, 3) != draw(7, 4)
    assert draw(7, 3) != draw(8, 3)


def test_a_kind_that_is_not_possible_here_leaves_the_others_as_they_were() -> None:
    whole = next(scenario for scenario in SCENARIOS if scenario.has(FaultKind.FILL_DISK))
    without = draw(whole.seed, whole.number, kinds=ALL_KINDS - {FaultKind.FILL_DISK})
    assert without.faults == tuple(fault for fault in whole.faults if fault.kind is not FaultKind.FILL_DISK)


def test_every_kind_is_drawn_and_most_rounds_have_several_faults() -> None:
    assert {fault.kind for scenario in SCENARIOS for fault in scenario.faults} == set(FaultKind)
    assert sum(len(scenario.faults) >= 3 for scenario in SCENARIOS) > 0.8 * len(SCENARIOS)


def test_faults_are_numbered_in_the_order_of_time() -> None:
    for scenario in SCENARIOS:
        times = [fault.at_s for fault in scenario.faults]
        assert times == sorted(times)
        assert [fault.number for fault in scenario.faults] == list(range(1, len(times) + 1))


def test_an_agent_is_always_left() -> None:
    for scenario in SCENARIOS:
        ended = {fault.target for fault in scenario.faults if fault.kind in ENDING}
        assert len(ended) < scenario.agents


def test_what_one_fault_has_frozen_no_other_freezes_meanwhile() -> None:
    freezing = {FaultKind.FREEZE_AGENT, FaultKind.FREEZE_MAIN, FaultKind.FREEZE_COORDINATOR}
    for scenario in SCENARIOS:
        frozen = [fault for fault in scenario.faults if fault.kind in freezing]
        for one in frozen:
            others = [other for other in frozen if other.target == one.target and other is not one]
            assert not [other for other in others if one.at_s <= other.at_s <= one.end_s]


def test_targets_are_jobs_that_are_there() -> None:
    for scenario in SCENARIOS:
        jobs = {MAIN, EVERYBODY, "coordinator", *map(agent, range(1, scenario.agents + 1))}
        assert {fault.target for fault in scenario.faults} <= jobs


def test_a_round_can_be_played_with_some_of_its_faults() -> None:
    scenario = next(scenario for scenario in SCENARIOS if len(scenario.faults) > 3)
    fewer = keep_only(scenario, {1, 3})
    assert [fault.number for fault in fewer.faults] == [1, 3]
    assert fewer.agents == scenario.agents

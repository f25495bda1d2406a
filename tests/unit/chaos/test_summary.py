"""The lines a reader looks at first."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.checks import Finding, FindingKind
from tests.chaos.rounds import Played
from tests.chaos.schedule import draw
from tests.chaos.summary import is_good, summarise


def played(number: int, *findings: Finding) -> Played:
    scenario = draw(7, number)
    return Played(
        scenario=scenario,
        done=scenario.faults,
        findings=list(findings),
        notes=[],
        wall_s=1.0,
        folder=Path("kept"),
    )


def test_good_rounds() -> None:
    rounds = [played(1), played(2)]
    assert is_good(rounds)
    assert summarise(7, rounds, 2.0)[-1] == "2 runs: 0 hangs, 0 wrong greens, 0 wrong reds, 0 lost results"


def test_a_finding_says_how_to_play_its_round_again() -> None:
    hang = Finding(kind=FindingKind.HANG, text="main")
    other = Finding(kind=FindingKind.LEFTOVER, text="a file")
    rounds = [played(1), played(2, hang, other)]
    assert not is_good(rounds)
    lines = summarise(7, rounds, 2.0)
    assert any("--seed 7 --round 2" in line and "kept" in line for line in lines)
    assert "1 x leftover" in lines[-2]
    assert lines[-1] == "2 runs: 1 hangs, 0 wrong greens, 0 wrong reds, 0 lost results"


def test_the_faults_are_counted_by_kind() -> None:
    first = summarise(7, [played(1)], 2.0)[0]
    assert f"{len(draw(7, 1).faults)} faults" in first

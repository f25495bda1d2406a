"""When a coordinator counts as having been away, and by how much deadlines then move."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from nx_dte.coordinator.engine.presence import Moment, Watch

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
USUAL = Watch(lease_s=30, interval_s=0.5)


def moment(wall_s: float, monotonic_s: float) -> Moment:
    return Moment(wall=NOON + timedelta(seconds=wall_s), monotonic_s=1000 + monotonic_s)


@pytest.mark.parametrize(
    ("wall_s", "monotonic_s", "expected", "what"),
    [
        (0.5, 0.5, False, "a round as usual"),
        (4.9, 4.9, False, "a slow round"),
        (60, 60, True, "the process was stopped"),
        (60, 0.5, True, "the machine slept, or its clock was set forward"),
        (3600, 0.5, True, "its clock was set forward by an hour"),
        (-3600, 0.5, True, "its clock was set back"),
        (1.5, 0.5, False, "its clock was corrected a little"),
        (-1.4, 0.5, False, "its clock was corrected a little, backwards"),
        (10, 5.1, True, "both"),
    ],
)
def test_what_counts_as_having_been_away(
    wall_s: float, monotonic_s: float, *, expected: bool, what: str
) -> None:
    assert USUAL.was_away(moment(0, 0), moment(wall_s, monotonic_s)) is expected, what


def test_a_slow_reaper_is_allowed_ten_of_its_rounds() -> None:
    slow = Watch(lease_s=30, interval_s=2)

    assert not slow.was_away(moment(0, 0), moment(19, 19))
    assert slow.was_away(moment(0, 0), moment(21, 21))


def test_short_leases_allow_short_absences_only() -> None:
    quick = Watch(lease_s=1.5, interval_s=0.01)

    assert not quick.was_away(moment(0, 0), moment(0.4, 0.4))
    assert quick.was_away(moment(0, 0), moment(0.6, 0.6))
    assert quick.note_every_s < quick.gap_s


@pytest.mark.parametrize(
    ("away_s", "owed_s"), [(0, 0), (4, 0), (6, 6), (3600, 3600), (-1, 0), (-3600, -3600)]
)
def test_deadlines_move_by_the_time_away(away_s: float, owed_s: float) -> None:
    owed = USUAL.owed(NOON, NOON + timedelta(seconds=away_s))

    assert owed == timedelta(seconds=owed_s)


def test_what_is_noted_in_time_is_never_owed() -> None:
    """A coordinator that works and restarts at once finds its own note young enough to change nothing."""
    assert 2 * USUAL.note_every_s < USUAL.gap_s

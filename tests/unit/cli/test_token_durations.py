"""How long a token lives, as people write it."""

from datetime import timedelta

import click
import pytest

from nx_dte.cli.token import DurationParam


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("30m", timedelta(minutes=30)),
        ("12h", timedelta(hours=12)),
        ("90d", timedelta(days=90)),
        ("2 w", timedelta(weeks=2)),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text: str, expected: timedelta) -> None:
    assert DurationParam().convert(text, None, None) == expected


@pytest.mark.parametrize("text", ["", "90", "d", "0d", "-1d", "1y", "1d2h"])
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(click.BadParameter, match="90d, 12h or 30m"):
        DurationParam().convert(text, None, None)

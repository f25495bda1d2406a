"""Times on the command line: every wait has an end."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from nx_dte.cli.root import cli


@pytest.mark.parametrize("given", ["inf", "nan", "1e300", "-1", "soon"])
@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("agent", "--main-timeout"),
        ("agent", "--patience"),
        ("agent", "--grace"),
        ("orchestrate", "--fetch-timeout"),
        ("resolve-base", "--fetch-timeout"),
    ],
)
def test_what_is_no_time_to_wait_is_refused(command: str, option: str, given: str) -> None:
    result = CliRunner().invoke(cli, [command, option, given])
    assert result.exit_code == 2  # which `main` makes 78
    assert f"Invalid value for '{option}'" in result.output


def test_a_time_is_refused_from_a_variable_too() -> None:
    result = CliRunner().invoke(cli, ["agent"], env={"NX_DTE_PATIENCE": "inf"})
    assert "inf is no number of seconds up to a year" in result.output

"""`nx-dte coordinator settings` and the hint at it."""

from click.testing import CliRunner

from nx_dte.cli import cli
from nx_dte.settings import describe


def test_every_setting_is_listed_with_its_variable_and_default() -> None:
    output = CliRunner().invoke(cli, ["coordinator", "settings"]).output

    assert "lease_s\n    NX_DTE_LEASE_S; default: 30\n    a lease not renewed" in output
    assert "listen\n    NX_DTE_LISTEN, --listen; default: 127.0.0.1:8720\n" in output
    assert [line for line in output.splitlines() if not line.startswith(" ")] == [
        item.name for item in describe()
    ]


def test_the_help_of_serve_says_where_the_other_settings_are() -> None:
    output = CliRunner().invoke(cli, ["coordinator", "serve", "--help"]).output

    assert "nx-dte coordinator settings" in " ".join(output.split())

"""The command line from outside: what it prints, how it ends, what it leaves unimported."""

import pytest
from click.testing import CliRunner

import nx_dte
from nx_dte.cli import root
from nx_dte.cli.root import LazyGroup, cli, main
from nx_dte.errors import ConfigurationError


def test_help_lists_every_command() -> None:
    result = CliRunner().invoke(cli, ["--help"])
    assert result.exit_code == 0
    for name in ("coordinator", "demo"):
        assert f"  {name}" in result.output


def test_a_subcommands_help_lists_its_own_and_its_lazy_commands() -> None:
    result = CliRunner().invoke(cli, ["coordinator", "--help"])
    assert result.exit_code == 0
    assert "  serve" in result.output
    assert "  token" in result.output


def test_every_lazy_command_can_be_imported() -> None:
    context = cli.make_context("nx-dte", ["--help"], resilient_parsing=True)
    for name in cli.list_commands(context):
        command = cli.get_command(context, name)
        assert command is not None
        assert command.name == name


def test_version() -> None:
    result = CliRunner().invoke(cli, ["--version"])
    assert result.output == f"nx-dte, version {nx_dte.__version__}\n"


def test_an_unknown_command_is_a_usage_error() -> None:
    result = CliRunner().invoke(cli, ["orchestra"])
    assert result.exit_code == 2
    assert "No such command 'orchestra'" in result.output


def test_a_lazy_path_that_is_no_command_is_named() -> None:
    group = LazyGroup(name="g", lazy={"odd": ("nx_dte.errors:NxDteError", "")})
    result = CliRunner().invoke(group, ["odd"])
    assert isinstance(result.exception, TypeError)
    assert "nx_dte.errors:NxDteError is not a click command" in str(result.exception)


@pytest.mark.parametrize(
    ("raised", "code", "message"),
    [
        (
            ConfigurationError("no such folder /x; create it"),
            78,
            "nx-dte: no such folder /x; create it [configuration]",
        ),
        (ModuleNotFoundError("No module named 'fastapi'", name="fastapi"), 78, "install nx-dte[coordinator]"),
    ],
)
def test_errors_become_one_line_and_an_exit_code(
    raised: Exception,
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(**_: object) -> None:
        raise raised

    monkeypatch.setattr(root, "cli", fail)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "raised", [ModuleNotFoundError("No module named 'nx_dte.oops'", name="nx_dte.oops"), KeyError("oops")]
)
def test_anything_else_is_a_fault_of_ours_with_its_own_exit_code_and_a_traceback(
    raised: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: object) -> None:
        raise raised

    monkeypatch.setattr(root, "cli", fail)
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert (ended.value.code, "Traceback" in said, "please report it [internal]" in said) == (70, True, True)

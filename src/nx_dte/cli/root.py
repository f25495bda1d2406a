"""The root command, and how its subcommands are found without importing them."""

import sys
from importlib import import_module

import click

import nx_dte
from nx_dte.errors import EXIT_CONFIGURATION, EXIT_INTERNAL, NxDteError

__all__ = ["LazyGroup", "cli", "main"]

EXIT_INTERRUPTED = 130  # as a shell says it for SIGINT


class LazyGroup(click.Group):
    """A group that knows each subcommand's module and help line, and imports it only to run it."""

    def __init__(self, *, lazy: dict[str, tuple[str, str]], **attrs: object) -> None:
        """`lazy` maps a command's name to its import path `module:attribute` and its one-line help."""
        super().__init__(**attrs)  # type: ignore[arg-type]  # click types every keyword by itself
        self._lazy = lazy

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every command, those not imported yet among them."""
        return sorted({*super().list_commands(ctx), *self._lazy})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command by its name; this imports it."""
        if cmd_name not in self._lazy:
            return super().get_command(ctx, cmd_name)
        path, _ = self._lazy[cmd_name]
        module, _, attribute = path.partition(":")
        command = getattr(import_module(module), attribute)
        if not isinstance(command, click.Command):
            raise TypeError(f"{path} is not a click command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click's
        """The list of commands in `--help`, from the known help lines: nothing is imported for it."""
        helps = {name: command.get_short_help_str(formatter.width) for name, command in self.commands.items()}
        helps |= {name: line for name, (_, line) in self._lazy.items()}
        rows = sorted(helps.items())
        with formatter.section("Commands"):
            formatter.write_dl(rows)


@click.command(
    cls=LazyGroup,
    lazy={
        "coordinator": ("nx_dte.cli.coordinator:coordinator", "Run and administer the coordinator."),
        "guard": ("nx_dte.cli.guard:guard", "Notice that only a part of a pipeline was retried."),
        "resolve-base": ("nx_dte.cli.resolve_base:resolve_base", "Find the NX_BASE and NX_HEAD of this job."),
        "orchestrate": (
            "nx_dte.cli.orchestrate:orchestrate",
            "The main job: run nx commands, distributed over agents.",
        ),
        "agent": ("nx_dte.cli.agent:agent", "An agent job: run the tasks of a main job."),
        "pipeline": (
            "nx_dte.cli.pipeline:pipeline",
            "Write the pipeline's file, and find the known faults of one.",
        ),
        "doctor": ("nx_dte.cli.doctor:doctor", "Check this job, image or host, and say what to fix."),
        "demo": ("nx_dte.cli.demo:demo", "Distribute a real Nx run over three agents on this machine."),
    },
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(nx_dte.__version__, prog_name="nx-dte")
def cli() -> None:
    """Self-hosted distributed task execution for Nx on GitLab."""


def main() -> None:
    """Run the command line; the one place where an error becomes a message and an exit code."""
    try:
        # An option nobody knows is a configuration error: GitLab must not try the job again for it.
        result = cli(prog_name="nx-dte", standalone_mode=False)
        sys.exit(result if isinstance(result, int) else 0)
    except click.exceptions.Abort:
        sys.exit(EXIT_INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(EXIT_CONFIGURATION if isinstance(error, click.UsageError) else error.exit_code)
    except NxDteError as error:
        click.echo(f"nx-dte: {error.message} [{error.code}]", err=True)
        sys.exit(error.exit_code)
    except Exception as error:  # noqa: BLE001  # whatever else it is, it is our fault and has its own exit code
        _end_with_fault(error)


def _end_with_fault(error: Exception) -> None:
    """A missing extra is the user's to install; anything else is to be reported, with its traceback."""
    name = error.name or "nx_dte" if isinstance(error, ModuleNotFoundError) else "nx_dte"
    if name.partition(".")[0] != "nx_dte":
        needs = f"this command needs the Python package {name}"
        click.echo(f"nx-dte: {needs}; install nx-dte[coordinator] [configuration]", err=True)
        sys.exit(EXIT_CONFIGURATION)
    import traceback

    traceback.print_exception(error)
    click.echo(
        f"nx-dte: {type(error).__name__}: {error}; this is a fault of nx-dte, please report it [internal]",
        err=True,
    )
    sys.exit(EXIT_INTERNAL)

"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from nx_dte.nx_commands import Runner
    from nx_dte.rerun_guard import Mode, PipelineShape

__all__ = ["JobOptions", "Seconds", "job_options", "store_options"]

LONGEST_S = 365 * 24 * 3600


class Seconds(click.FloatRange):
    """A time in seconds: a year at most, because a wait needs an end, and no `nan` or `inf`."""

    name = "number of seconds"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number; what is none, or too large a one, is refused."""
        number = float(super().convert(value, param, ctx))
        if not number <= LONGEST_S:  # nan is neither
            self.fail(f"{value} is no number of seconds up to a year.", param, ctx)
        return number


def store_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say which store is meant."""
    for option in (
        click.option(
            "--config", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Settings file."
        ),
        click.option("--database-url", metavar="URL", help="Store; without it SQLite under the data folder."),
        click.option(
            "--data-dir",
            type=click.Path(file_okay=False, path_type=Path),
            metavar="DIR",
            help="The coordinator's data folder.",
        ),
    ):
        command = option(command)
    return command


def job_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that main and agent jobs have in common."""
    for option in (
        click.option(
            "--patience",
            type=Seconds(min=0),
            default=10.0,
            show_default=True,
            envvar="NX_DTE_PATIENCE",
            metavar="SECONDS",
            help="How long to wait for a coordinator that is away, before going on without it or leaving.",
        ),
        click.option(
            "--lazy-agents",
            is_flag=True,
            envvar="NX_DTE_LAZY_AGENTS",
            help="Manual agents are started when they are needed.",
        ),
        click.option(
            "--agent-job",
            default="nx-dte-agent*",
            show_default=True,
            envvar="NX_DTE_AGENT_JOB",
            metavar="NAME",
            help="The agents' name without the index; * and ? stand for what differs.",
        ),
        click.option(
            "--main-job",
            default="nx-dte",
            show_default=True,
            envvar="NX_DTE_MAIN_JOB",
            metavar="NAME",
            help="The main job's name.",
        ),
        click.option(
            "--guard",
            type=click.Choice(["strict", "mirror", "off"]),
            envvar="NX_DTE_GUARD_MODE",
            help="The rerun guard's mode; see `nx-dte guard check --help`.",
        ),
        click.option(
            "--runner",
            type=click.Choice(["yarn", "npm", "pnpm", "npx"]),
            envvar="NX_DTE_RUNNER",
            help="Who runs nx and nx-cloud; without it the lock file says.",
        ),
        click.option(
            "--directory",
            type=click.Path(exists=True, file_okay=False, path_type=Path),
            default=Path(),
            metavar="DIR",
            help="Where the Nx workspace is; without it the current folder.",
        ),
    ):
        command = option(command)
    return command


class JobOptions:
    """What `job_options` were given, as the values that the commands want."""

    def __init__(self, given: dict[str, Any]) -> None:
        """`given`: the options' values by their names."""
        self._given = given

    @property
    def directory(self) -> Path:
        """--directory."""
        return Path(self._given["directory"])

    @property
    def patience_s(self) -> float:
        """--patience."""
        return float(self._given["patience"])

    @property
    def runner(self) -> "Runner | None":
        """--runner."""
        from nx_dte.nx_commands import Runner

        return None if self._given["runner"] is None else Runner(self._given["runner"])

    @property
    def mode(self) -> "Mode | None":
        """--guard."""
        from nx_dte.rerun_guard import Mode

        return None if self._given["guard"] is None else Mode(self._given["guard"])

    @property
    def shape(self) -> "PipelineShape":
        """--main-job, --agent-job and --lazy-agents."""
        from nx_dte.rerun_guard import PipelineShape

        return PipelineShape(
            main=self._given["main_job"],
            agent=self._given["agent_job"],
            has_lazy_agents=self._given["lazy_agents"],
        )

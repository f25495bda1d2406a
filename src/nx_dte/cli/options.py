"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path

import click

__all__ = ["job_options", "store_options"]


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

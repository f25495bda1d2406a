"""`nx-dte orchestrate`: a main job from its first second to its exit code."""

import os
import sys
from pathlib import Path
from typing import Any

import click

from nx_dte.cli.options import JobOptions, Seconds, job_options

__all__ = ["orchestrate"]


# What follows the first word of the command belongs to the command, with or without a `--` before it.
@click.command(context_settings={"allow_interspersed_args": False})
@click.option(
    "--stop-agents-after",
    metavar="TARGETS",
    help="Agents leave when no more tasks of these targets are to come: e2e-ci,build.",
)
@click.option(
    "--record",
    "records",
    multiple=True,
    metavar="COMMAND",
    help="Run and record this before the commands; may be repeated.",
)
@click.option(
    "--run",
    "runs",
    multiple=True,
    metavar="COMMAND",
    help="Run this, too, after the command behind --; may be repeated.",
)
@click.option("--fail-fast", is_flag=True, help="Run nothing more after a failure.")
@click.option(
    "--junit",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Write a JUnit report of all tasks, for GitLab's artifacts:reports:junit.",
)
@click.option(
    "--fetch-timeout",
    type=Seconds(min=0),
    default=120.0,
    show_default=True,
    envvar="NX_DTE_FETCH_TIMEOUT",
    metavar="SECONDS",
    help="For everything that has to be fetched to find NX_BASE.",
)
@job_options
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def orchestrate(
    *,
    stop_agents_after: str | None,
    records: tuple[str, ...],
    runs: tuple[str, ...],
    fail_fast: bool,
    junit: Path | None,
    fetch_timeout: float,
    command: tuple[str, ...],
    **job: Any,
) -> None:
    """Run nx commands as this pipeline's main job, distributed over its agents.

    nx-dte orchestrate --record 'nx format:check' -- nx affected -t lint,test,build

    Opens the CI run, runs records and commands, and ends the CI run on every way out. `nx …` is run by the workspace's
    package manager, any other command as it is. NX_BASE and NX_HEAD are set for all of them (see `nx-dte resolve-base`);
    '$NX_BASE' and '$NX_HEAD' in a command are replaced. --record and --run are split into words as a shell does it, and
    nothing more. While the coordinator is down, everything runs in this job, without distribution.

    Ends with the exit code of the first step that failed, or with 78 when this job cannot do its work until somebody
    changes something.
    """
    from nx_dte.errors import ConfigurationError
    from nx_dte.orchestrator import Options
    from nx_dte.orchestrator import orchestrate as run_main
    from nx_dte.orchestrator.plan import with_program, words_of

    commands = ([with_program(command)] if command else []) + [words_of(line) for line in runs]
    if not commands:
        raise ConfigurationError(
            "no command is given. Write it behind the options: nx-dte orchestrate -- nx affected -t lint,test,build"
        )
    common = JobOptions(job)
    options = Options(
        directory=common.directory,
        commands=tuple(commands),
        records=tuple(words_of(line) for line in records),
        stop_agents_after=stop_agents_after,
        is_fail_fast=fail_fast,
        runner=common.runner,
        mode=common.mode,
        shape=common.shape,
        junit=junit,
        patience_s=common.patience_s,
        fetch_timeout_s=fetch_timeout,
    )
    sys.exit(run_main(options, os.environ))

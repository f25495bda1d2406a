"""`nx-dte agent`: an agent job from its first second to its exit code."""

import os
import sys
from typing import Any

import click

from nx_dte.cli.options import JobOptions, Seconds, job_options

__all__ = ["agent"]


@click.command()
@job_options
@click.option(
    "--idle-limit",
    type=Seconds(min=0, min_open=True),
    envvar="NX_DTE_IDLE_LIMIT",
    metavar="SECONDS",
    help="Leave, with 0 or 77, when no task has run here for this long since joining. Coordinators of nx-dte only.",
)
@click.option(
    "--lifetime",
    type=Seconds(min=0, min_open=True),
    envvar="NX_DTE_LIFETIME",
    metavar="SECONDS",
    help="Leave, with 0 or 77, after this long; what is not finished goes back to the queue.",
)
@click.option(
    "--main-timeout",
    type=Seconds(min=0, min_open=True),
    envvar="NX_DTE_MAIN_TIMEOUT",
    metavar="SECONDS",
    help="Leave, with 76, when no main job has come by then. Without it 600; with a real Nx Cloud, as that has it.",
)
@click.option(
    "--grace",
    type=Seconds(min=0),
    default=7.0,
    show_default=True,
    envvar="NX_DTE_GRACE",
    metavar="SECONDS",
    help="From SIGTERM or SIGQUIT to the end. GitLab kills a cancelled job about 9 s after it was told.",
)
def agent(
    *,
    idle_limit: float | None,
    lifetime: float | None,
    main_timeout: float | None,
    grace: float,
    **job: Any,
) -> None:
    """Run tasks of this pipeline's main job until there are no more.

    Asks the rerun guard, then runs `nx-cloud start-agent` and starts it again after a crash, five times in a row at most.
    On SIGTERM and SIGQUIT it gives back what is not finished and ends whatever runs of it.

    Ends with 0 when it was told to leave and nothing had failed, 70 when the agent crashes again and again, 75 when the
    coordinator is away, 76 when no main job came, 77 when a task or a recorded command of the main job has failed, 78
    when this job cannot do its work until somebody changes something.
    """
    from nx_dte.agent import AgentOptions, Limits, run_agent

    common = JobOptions(job)
    options = AgentOptions(
        directory=common.directory,
        runner=common.runner,
        mode=common.mode,
        shape=common.shape,
        patience_s=common.patience_s,
        main_timeout_s=main_timeout,
        limits=Limits(idle_limit_s=idle_limit, lifetime_s=lifetime, grace_s=grace),
    )
    sys.exit(run_agent(options, os.environ))

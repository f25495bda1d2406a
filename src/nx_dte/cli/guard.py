"""`nx-dte guard …`: notice that only a part of a pipeline was retried, before anybody waits."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from nx_dte.rerun_guard import Verdict

__all__ = ["guard"]

_directory = click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Where .nx-dte/ is; without it $CI_PROJECT_DIR, or the current folder.",
)


@click.group()
def guard() -> None:
    """Notice that only a part of a pipeline was retried.

    `record` belongs into a job before main and agents, `check` at the beginning of those.
    """


@guard.command()
@_directory
def record(*, directory: Path | None) -> None:
    """Write down where this run of the pipeline begins: .nx-dte/guard.json and .nx-dte/guard.env.

    Always ends with 0: a guard job that fails would stop the pipeline it is there to protect.
    """
    from nx_dte.gitlab import CiEnvironment
    from nx_dte.rerun_guard import recording

    environment = CiEnvironment.from_environ(os.environ)
    folder = directory or _checkout(environment.project_dir)
    written, problems = recording.record(environment, folder)
    for problem in problems:
        click.echo(f"nx-dte guard: warning: {problem}", err=True)
    click.echo(
        f"nx-dte guard: this run of pipeline {written.pipeline_id or 'unknown'} begins with job "
        f"{written.guard_job_id or 'unknown'}"
    )


@guard.command()
@click.option(
    "--role", required=True, type=click.Choice(["main", "agent"]), help="What the job that asks is."
)
@click.option(
    "--mode",
    type=click.Choice(["strict", "mirror", "off"]),
    envvar="NX_DTE_GUARD_MODE",
    help="strict: refuse a main job that runs again without its agents. mirror: let it go on, and let agents of a "
    "failed main end with 77. Without it: mirror with a coordinator of nx-dte, else strict.",
)
@click.option(
    "--main-job",
    default="nx-dte",
    show_default=True,
    envvar="NX_DTE_MAIN_JOB",
    metavar="NAME",
    help="The main job's name.",
)
@click.option(
    "--agent-job",
    default="nx-dte-agent*",
    show_default=True,
    envvar="NX_DTE_AGENT_JOB",
    metavar="NAME",
    help="The agents' name without the index; * and ? stand for what differs.",
)
@click.option(
    "--lazy-agents",
    is_flag=True,
    envvar="NX_DTE_LAZY_AGENTS",
    help="Manual agents are started when they are needed.",
)
@_directory
def check(
    *,
    role: str,
    mode: str | None,
    main_job: str,
    agent_job: str,
    lazy_agents: bool,
    directory: Path | None,
) -> None:
    """Say whether this job may start.

    Ends with 0 if it may, or if there is nothing left to do for it; with 77 if it is an agent of a main job that has
    failed; with 78 if it is refused. Takes ten seconds at most, unless it waits for a main job that may come, and says
    so.
    """
    from nx_dte import rerun_guard
    from nx_dte.client import CoordinatorClient
    from nx_dte.gitlab import CiEnvironment

    environment = CiEnvironment.from_environ(os.environ)
    client = CoordinatorClient.from_environ(os.environ)
    verdict = rerun_guard.check(
        environment,
        client,
        role=rerun_guard.Role(role),
        mode=None if mode is None else rerun_guard.Mode(mode),
        directory=directory or _checkout(environment.project_dir),
        environ=os.environ,
        shape=rerun_guard.PipelineShape(main=main_job, agent=agent_job, has_lazy_agents=lazy_agents),
    )
    _say(verdict)
    if verdict.after_attempt is not None:
        verdict = rerun_guard.wait_for_main(verdict, client)
        _say(verdict)
    sys.exit(verdict.exit_code)


def _checkout(project_dir: Path | None) -> Path:
    return project_dir if project_dir is not None and project_dir.is_dir() else Path.cwd()


def _say(verdict: "Verdict") -> None:
    """The verdict last: it is what the reader of a job's log looks for."""
    for note in verdict.notes:
        click.echo(f"nx-dte guard: note: {note}", err=True)
    click.echo(f"nx-dte guard: {verdict.message}", err=not verdict.may_proceed)

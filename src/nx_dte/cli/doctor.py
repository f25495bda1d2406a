"""`nx-dte doctor`: what is missing or wrong here, and what to do about it."""

import os
import sys
from pathlib import Path

import click

from nx_dte.errors import EXIT_CONFIGURATION

__all__ = ["doctor"]


@click.command()
@click.option(
    "--role",
    type=click.Choice(["main", "agent", "host", "image"]),
    default="main",
    show_default=True,
    help="For what this place is meant: a main job, an agent job, a machine that a GitLab runner is on, the image of jobs.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="text: for people. json: for programs; fields are only ever added.",
)
@click.option(
    "--directory",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    metavar="DIR",
    help="Where the checkout is; without it the current folder.",
)
@click.option("--origin", is_flag=True, help="Ask the checkout's remote, too.")
def doctor(*, role: str, format_: str, directory: Path, origin: bool) -> None:
    """Check this job, image or host, and say what to fix.

    Changes nothing, shows no secret, and takes fifteen seconds at most. What is not there to be checked (a checkout, a
    coordinator, GitLab's variables) is a note. Ends with 0 when there is no problem, with 78 when there is one.
    """
    from nx_dte.doctor import Role, as_json, as_text, examine

    examination = examine(Role(role), directory, os.environ, asks_origin=origin)
    click.echo(as_json(examination) if format_ == "json" else as_text(examination))
    sys.exit(EXIT_CONFIGURATION if examination.has_problem else 0)

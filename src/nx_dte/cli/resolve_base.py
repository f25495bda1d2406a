"""`nx-dte resolve-base`: NX_BASE and NX_HEAD that are right in any pipeline."""

import json
import os
import sys
from pathlib import Path

import click

from nx_dte.cli.options import Seconds

__all__ = ["resolve_base"]


@click.command()
@click.option(
    "--format",
    "format_",
    type=click.Choice(["env", "json"]),
    default="env",
    show_default=True,
    help='env: two lines for the shell, eval "$(nx-dte resolve-base)".',
)
@click.option(
    "--directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    metavar="DIR",
    help="The checkout; without it the current folder.",
)
@click.option(
    "--fetch-timeout",
    type=Seconds(min=0),
    default=120.0,
    show_default=True,
    envvar="NX_DTE_FETCH_TIMEOUT",
    metavar="SECONDS",
    help="For everything that has to be fetched.",
)
def resolve_base(*, format_: str, directory: Path, fetch_timeout: float) -> None:
    """Find the commit that this job's commit is to be compared with.

    In this order: NX_BASE if it is set; the merge request's base; the common ancestor with the target branch (on other
    branches than the default one: with that); the commit before the push; the last green commit of the branch; the
    commit before this one, if the remote has answered so far; nothing at all, so that everything is affected. A shallow
    clone is deepened as far as needed. Which rule won stands on stderr.
    """
    from nx_dte.base_commit import Git, resolve
    from nx_dte.gitlab import CiEnvironment, GitLabApi, GitLabUnavailableError
    from nx_dte.processes import StoppedError, StopSignals

    def say(message: str) -> None:
        click.echo(f"nx-dte resolve-base: {message}", err=True)

    def last_green(branch: str) -> str | None:
        try:
            return GitLabApi(environment=environment).last_green_commit(branch, timeout_s=10.0)
        except GitLabUnavailableError as error:
            say(f"the last green commit of branch {branch} is not known: {error.message}")
            return None

    environment = CiEnvironment.from_environ(os.environ)
    with StopSignals() as stopping:
        try:
            with stopping.interrupting():  # a fetch that was begun ends with this command
                git = Git.open(
                    directory,
                    os.environ,
                    fetch_timeout_s=fetch_timeout,
                    remote_url=environment.repository_url,
                )
                base = resolve(
                    git,
                    environment,
                    given_base=os.environ.get("NX_BASE") or None,
                    given_head=os.environ.get("NX_HEAD") or None,
                    last_green=last_green,
                    say=say,
                )
        except StoppedError:
            say("told to stop")
            sys.exit(stopping.exit_code)
    say(f"base {base.base}: {base.reason} [{base.rule.value}]")
    if format_ == "json":
        found = {"base": base.base, "head": base.head, "rule": base.rule.value, "reason": base.reason}
        click.echo(json.dumps(found, indent=2))
    else:
        click.echo(f"export NX_BASE={base.base}\nexport NX_HEAD={base.head}")

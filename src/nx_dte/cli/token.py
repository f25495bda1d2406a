"""`nx-dte coordinator token …`: create, list and revoke tokens in the coordinator's store."""

import re
from datetime import timedelta
from typing import Any

import click

from nx_dte.cli.options import store_options

__all__ = ["token"]

_DURATION = re.compile(r"(\d+)\s*([smhdw])")
_WORKSPACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class DurationParam(click.ParamType[timedelta]):
    """A duration such as 90d, 12h or 30m."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Turn 90d into a timedelta."""
        if isinstance(value, timedelta):
            return value
        match = _DURATION.fullmatch(str(value).strip())
        if not match or int(match[1]) == 0:
            self.fail(f"{value!r} is no duration; write 90d, 12h or 30m", param, ctx)
        return timedelta(**{_UNITS[match[2]]: int(match[1])})


class WorkspaceParam(click.ParamType[str]):
    """The name of a workspace, which also names a folder of artifacts."""

    name = "workspace"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse what could not be a folder's name, or not be told apart when it is shown."""
        if not _WORKSPACE.fullmatch(str(value)):
            self.fail(
                f"{value!r} is no workspace name; use 1 to 128 letters, digits, '.', '_' and '-', "
                "a letter or digit first",
                param,
                ctx,
            )
        return str(value)


@click.group()
def token() -> None:
    """Create, list and revoke the tokens of workspaces.

    The commands work on the coordinator's store, so they run where it runs, while it runs or not.
    """


@token.command()
@click.option(
    "--workspace",
    default="default",
    show_default=True,
    type=WorkspaceParam(),
    metavar="NAME",
    help="Whom the token speaks for.",
)
@click.option(
    "--access", required=True, type=click.Choice(["read-only", "read-write"]), help="What it may do."
)
@click.option(
    "--expires-in", type=DurationParam(), metavar="90d", help="Lifetime; without it it never expires."
)
@store_options
def create(*, workspace: str, access: str, expires_in: timedelta | None, **store: Any) -> None:
    """Create a token and print it: it is stored hashed, so this is the only time it is shown."""
    from nx_dte.coordinator import administration
    from nx_dte.settings import CoordinatorSettings

    settings = CoordinatorSettings.load(**store)
    created = administration.token_create(settings, workspace=workspace, access=access, expires_in=expires_in)
    click.echo(f"token {created.token_id} for workspace {workspace} ({access}):", err=True)
    click.echo(created.secret)


@token.command(name="list")
@store_options
def list_(**store: Any) -> None:
    """List all tokens, without their secrets."""
    from nx_dte.coordinator import administration
    from nx_dte.settings import CoordinatorSettings

    tokens = administration.token_list(CoordinatorSettings.load(**store))
    row = "{:<28}{:<20}{:<12}{:<22}{:<22}{}"
    click.echo(row.format("ID", "WORKSPACE", "ACCESS", "CREATED", "EXPIRES", "REVOKED"))
    for item in tokens:
        times = [
            f"{at:%Y-%m-%d %H:%M}Z" if at else "-"
            for at in (item.created_at, item.expires_at, item.revoked_at)
        ]
        click.echo(row.format(item.token_id, item.workspace, item.access, *times))


@token.command()
@click.argument("token_id", metavar="ID")
@store_options
def revoke(*, token_id: str, **store: Any) -> None:
    """Revoke a token: requests with it are refused from now on."""
    from nx_dte.coordinator import administration
    from nx_dte.settings import CoordinatorSettings

    administration.token_revoke(CoordinatorSettings.load(**store), token_id=token_id)
    click.echo(f"token {token_id} is revoked")

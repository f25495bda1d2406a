"""`nx-dte coordinator token …`: create, list and revoke tokens in the coordinator's store."""

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import click

__all__ = ["token"]

_DURATION = re.compile(r"(\d+)\s*([smhdw])")
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


def _store_options(command: Callable[..., None]) -> Callable[..., None]:
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


@click.group()
def token() -> None:
    """Create, list and revoke the tokens of workspaces.

    The commands work on the coordinator's store, so they run where it runs, while it runs or not.
    """


@token.command()
@click.option(
    "--workspace", default="default", show_default=True, metavar="NAME", help="Whom the token speaks for."
)
@click.option(
    "--access", required=True, type=click.Choice(["read-only", "read-write"]), help="What it may do."
)
@click.option(
    "--expires-in", type=DurationParam(), metavar="90d", help="Lifetime; without it it never expires."
)
@_store_options
def create(*, workspace: str, access: str, expires_in: timedelta | None, **store: Any) -> None:
    """Create a token and print it: it is stored hashed, so this is the only time it is shown."""
    from nx_dte.coordinator import app
    from nx_dte.settings import CoordinatorSettings

    settings = CoordinatorSettings.load(**store)
    created = app.token_create(settings, workspace=workspace, access=access, expires_in=expires_in)
    click.echo(f"token {created.token_id} for workspace {workspace} ({access}):", err=True)
    click.echo(created.secret)


@token.command(name="list")
@_store_options
def list_(**store: Any) -> None:
    """List all tokens, without their secrets."""
    from nx_dte.coordinator import app
    from nx_dte.settings import CoordinatorSettings

    row = "{:<28}{:<20}{:<12}{:<22}{:<22}{}"
    click.echo(row.format("ID", "WORKSPACE", "ACCESS", "CREATED", "EXPIRES", "REVOKED"))
    for item in app.token_list(CoordinatorSettings.load(**store)):
        times = [
            f"{at:%Y-%m-%d %H:%M}Z" if at else "-"
            for at in (item.created_at, item.expires_at, item.revoked_at)
        ]
        click.echo(row.format(item.token_id, item.workspace, item.access, *times))


@token.command()
@click.argument("token_id", metavar="ID")
@_store_options
def revoke(*, token_id: str, **store: Any) -> None:
    """Revoke a token: requests with it are refused from now on."""
    from nx_dte.coordinator import app
    from nx_dte.settings import CoordinatorSettings

    app.token_revoke(CoordinatorSettings.load(**store), token_id=token_id)
    click.echo(f"token {token_id} is revoked")

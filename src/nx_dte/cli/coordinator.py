"""`nx-dte coordinator …`: run the server."""

from pathlib import Path
from typing import Any

import click

from nx_dte.cli.root import LazyGroup

__all__ = ["coordinator", "serve"]


@click.group(
    cls=LazyGroup,
    lazy={
        "backup": ("nx_dte.cli.backup:backup", "Copy the embedded store into a new folder."),
        "restore": ("nx_dte.cli.backup:restore", "Put a backup into an empty data folder."),
        "settings": ("nx_dte.cli.settings:settings", "List every setting: variable, flag, default, meaning."),
        "token": ("nx_dte.cli.token:token", "Create, list and revoke the tokens of workspaces."),
    },
)
def coordinator() -> None:
    """Run and administer the coordinator: the server that hands Nx its light client and schedules tasks on agents."""


@coordinator.command(short_help="Run the coordinator until it is told to stop.")
@click.option("--listen", metavar="HOST:PORT", help="Address of the API; port 0 picks a free one.")
@click.option("--metrics-listen", metavar="HOST:PORT", help="Address of /metrics; 'off' serves none.")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="DIR",
    help="Folder of the embedded database, the artifacts and the first tokens.",
)
@click.option("--database-url", metavar="URL", help="Store; without it SQLite under the data folder.")
@click.option("--artifacts-url", metavar="URL", help="Object store; without it the data folder.")
@click.option("--public-url", metavar="URL", help="Address that clients use, if a proxy does not pass it on.")
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), help="Least level logged."
)
@click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="TOML file of settings; flags and environment go before it.",
)
def serve(*, config: Path | None, **flags: Any) -> None:
    """Run the coordinator until it is told to stop.

    Every setting is also an environment variable, NX_DTE_<NAME>, and a key of the settings file; `nx-dte coordinator
    settings` lists them all, those without a flag too. The first start makes
    the tokens of workspace 'default' in the data folder, unless NX_DTE_READ_WRITE_TOKEN or NX_DTE_READ_ONLY_TOKEN (or
    the same with _FILE) give them.
    """
    from nx_dte.coordinator import app
    from nx_dte.settings import CoordinatorSettings

    app.serve(CoordinatorSettings.load(config=config, **flags))

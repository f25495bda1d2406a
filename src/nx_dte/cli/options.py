"""Options that several commands share."""

from collections.abc import Callable
from pathlib import Path

import click

__all__ = ["store_options"]


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

"""`nx-dte coordinator backup` and `restore`: the embedded store as one folder."""

from pathlib import Path
from typing import Any

import click

from nx_dte.cli.options import store_options

__all__ = ["backup", "restore"]

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command(short_help="Copy the embedded store into a new folder.")
@click.argument("folder", metavar="DIR", type=_FOLDER)
@store_options
def backup(*, folder: Path, **store: Any) -> None:
    """Copy database, artifacts and first tokens into DIR, which must not exist yet; the coordinator may be running.

    Artifacts are hard links where DIR is on the same file system, so a backup takes little room there; copy it to another
    machine to be safe from a lost disk.
    """
    from nx_dte.coordinator import administration
    from nx_dte.settings import CoordinatorSettings

    made = administration.make_backup(CoordinatorSettings.load(**store), folder)
    click.echo(f"backup {folder}: {made.summary}")
    for key in made.missing_blobs:
        click.echo(f"nx-dte: the artifact {key} was lost before this backup; it is not in it", err=True)


@click.command(short_help="Put a backup into an empty data folder.")
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@store_options
def restore(*, folder: Path, **store: Any) -> None:
    """Put the backup in DIR into an empty data folder; start the coordinator on it afterwards.

    The backup is checked first: the database's sha256, and that each artifact it names is there.
    """
    from nx_dte.coordinator import administration
    from nx_dte.settings import CoordinatorSettings

    settings = CoordinatorSettings.load(**store)
    restored = administration.restore_backup(settings, folder)
    click.echo(f"restored into {settings.data_dir}: {restored.summary}")

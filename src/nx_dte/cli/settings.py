"""`nx-dte coordinator settings`: what can be set, from the declarations themselves."""

import click

__all__ = ["settings"]


@click.command(short_help="List every setting: variable, flag, default, meaning.")
def settings() -> None:
    """List every setting of the coordinator.

    A flag goes before its environment variable, that before the key of the settings file (--config; the name in small
    letters), that before the default.
    """
    from nx_dte.settings import describe

    for item in describe():
        ways = f"{item.variable}, {item.flag}" if item.flag else item.variable
        click.echo(f"{item.name}\n    {ways}; default: {item.default}\n    {item.meaning}")

"""`nx-dte demo`: the recipe, for real, on this machine."""

import signal
import sys

import click

__all__ = ["demo"]


@click.command()
@click.option(
    "--agents", default=3, show_default=True, type=click.IntRange(min=1), help="How many agents join."
)
@click.option("--keep", is_flag=True, help="Keep the working folder and print its path.")
def demo(*, agents: int, keep: bool) -> None:
    """Distribute a real Nx run over agents on this machine.

    A coordinator, one main job and the agents run as separate processes in separate clones of the example workspace;
    then a table shows which task ran where, and the time against plain nx.
    """
    from nx_dte.demo import run

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    sys.exit(run(agents=agents, keep=keep))


def _leave(number: int, _frame: object) -> None:
    """As Ctrl-C does: an exception, so that everything started is ended and everything made is removed."""
    sys.exit(128 + number)

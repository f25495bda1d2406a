"""The command: `python -m tests.chaos --seed 7 --runs 20`, `--seed 7 --round 3 --only 1,4`."""

from __future__ import annotations

import argparse
import itertools
import secrets
import signal
import sys
import time
from typing import TYPE_CHECKING, NoReturn

from nx_dte.demo.layout import find_layout
from nx_dte.demo.workspace import install_dependencies
from tests.chaos.campaign import Campaign
from tests.chaos.schedule import draw, keep_only
from tests.chaos.summary import is_good, summarise

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Play, print, and return 1 if any promise was broken."""
    options = _parser().parse_args(arguments)
    seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    only = frozenset(int(number) for number in options.only.split(",") if number)
    if options.show:
        for number in _numbers(options):
            scenario = draw(seed, number)
            _write("\n".join(keep_only(scenario, only).describe() if only else scenario.describe()))
        return 0
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    _write(f"seed {seed}")
    started_at = time.monotonic()
    until = started_at + options.minutes * 60 if options.minutes else float("inf")
    layout = find_layout()
    with Campaign(
        layout=layout,
        node_modules=install_dependencies(layout),
        seed=seed,
        write=_write,
        is_kept=options.keep,
    ) as campaign:
        try:
            campaign.play(_numbers(options), until=until, only=only)
        except KeyboardInterrupt:
            _write("interrupted; what was played so far:")
        for line in summarise(seed, campaign.rounds, time.monotonic() - started_at):
            _write(line)
        return 0 if campaign.rounds and is_good(campaign.rounds) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="draws every round; without it one is made up and printed")
    parser.add_argument(
        "--runs", type=int, default=10, help="how many rounds (10); 0: as many as fit --minutes"
    )
    parser.add_argument("--minutes", type=float, default=0, help="begin no round after this time")
    parser.add_argument("--round", type=int, help="play this round of the seed alone")
    parser.add_argument("--only", default="", help="with --round: these of its faults alone, as 1,4")
    parser.add_argument("--keep", action="store_true", help="keep the folders of good rounds, too")
    parser.add_argument("--show", action="store_true", help="print the schedules and play nothing")
    return parser


def _numbers(options: argparse.Namespace) -> Sequence[int] | itertools.count[int]:
    if options.round is not None:
        return [options.round]
    if options.runs == 0 and options.minutes:
        return itertools.count(1)
    return range(1, options.runs + 1)


def _interrupt(_number: int, _frame: object) -> NoReturn:
    raise KeyboardInterrupt


def _write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())

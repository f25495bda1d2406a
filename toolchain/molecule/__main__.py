"""Runs the scenarios of the roles' tests, and makes what their hosts are made of.

usage: python -m toolchain.molecule test [SCENARIO ...]      run them; all that there are without a name
       python -m toolchain.molecule prepare [SCENARIO ...]   images and packages only
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path

from toolchain.images.docker import DockerError
from toolchain.images.engine import NoEngineError, running_engine
from toolchain.molecule.preparing import prepare
from toolchain.molecule.running import run_all
from toolchain.molecule.scenarios import ScenarioError, read_scenarios

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache/molecule"


def main(arguments: list[str]) -> int:
    """Do what the command line says; returns the exit code."""
    options = _parser().parse_args(arguments)
    # As an interrupt at the terminal: scenarios are ended, and what they made is removed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with running_engine(CACHE):
            return int(options.run(options))
    except NoEngineError as error:
        print(f"molecule: skipped: {error}", file=sys.stderr)
        return 0
    except (DockerError, ScenarioError) as error:
        print(f"molecule: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("molecule: interrupted", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m toolchain.molecule", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    testing = commands.add_parser("test", help="run scenarios")
    testing.add_argument("--side-by-side", type=int, default=2, help="scenarios at once (default: 2)")
    testing.set_defaults(run=_test)
    preparing = commands.add_parser("prepare", help="make images and packages")
    preparing.set_defaults(run=_prepare)
    for command in (testing, preparing):
        command.add_argument("scenarios", nargs="*", metavar="SCENARIO")
    return parser


def _test(options: argparse.Namespace) -> int:
    scenarios = read_scenarios(ROOT, options.scenarios)
    began = time.monotonic()
    prepare(ROOT, scenarios)
    print(f"prepared in {time.monotonic() - began:.0f} s", flush=True)
    return 0 if run_all(ROOT, scenarios, side_by_side=options.side_by_side) else 1


def _prepare(options: argparse.Namespace) -> int:
    prepare(ROOT, read_scenarios(ROOT, options.scenarios))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

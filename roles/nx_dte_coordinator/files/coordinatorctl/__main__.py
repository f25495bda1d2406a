"""Administers the coordinator of this host: backup, restore, and waiting until it is ready.

    python3 -IB /usr/local/lib/nx-dte/coordinatorctl backup

Plain Python, as every supported system has it (-B: its folder belongs to the role). Progress goes to stderr, the answer as JSON to stdout.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import sys
from pathlib import Path
from typing import Any

# `-I` leaves a program's own folder out.
sys.path.insert(0, str(Path(__file__).parent))

import backups  # found by the line above
import making
import restoring
import service
from config import CONFIG, Config, Failure, load


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="coordinatorctl", description="Administers the nx-dte coordinator of this host."
    )
    parser.add_argument("--config", type=Path, default=CONFIG, help="what the role wrote down (%(default)s)")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("ready", help="wait until the coordinator is ready")
    commands.add_parser("list", help="list the backups of this host")
    backup = commands.add_parser("backup", help="make a backup, and remove the oldest")
    backup.add_argument("--label", default="", help="a word for its name")
    backup.add_argument("--archive", type=Path, help="write it into one file as well")
    backup.add_argument(
        "--before-image", help="do nothing where nothing is yet, or this image is the one that runs already"
    )
    for name, text in (("check", "hold a backup against its sums"), ("restore", "restore a backup")):
        command = commands.add_parser(name, help=text)
        command.add_argument("source", help="its name in the backup folder, another folder, or an archive")
        command.add_argument("--archive", action="store_true", help="the source is an archive")
    return parser


def _work(config: Config, options: argparse.Namespace) -> Any:
    if options.command == "ready":
        service.wait_until_ready(config)
        return {"ready": True}
    if options.command == "list":
        return [str(folder) for folder in backups.all_of(config)]
    config.backup_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (config.backup_dir / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if options.command == "backup":
            if options.before_image and not making.is_needed(config, options.before_image):
                return {"name": ""}
            return making.make(config, label=options.label, archive=options.archive)
        act = restoring.check if options.command == "check" else restoring.restore
        return act(config, options.source, is_archive=options.archive)


def main() -> int:
    """Do what the arguments ask for."""
    os.umask(0o077)
    options = _parser().parse_args()
    try:
        answer = _work(load(options.config), options)
    except Failure as error:
        print(f"coordinatorctl: {error}", file=sys.stderr)
        return 1
    print(json.dumps(answer, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The runner as a program: `run`, `register`, `verify`, `unregister`."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.runner.api import GitLabCalls, RunnerRefusedError
from tests.support.runner.build import Timing
from tests.support.runner.config import add_entry, read, system_id
from tests.support.runner.runner import ProtocolRunner

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType


def main(arguments: list[str]) -> int:
    """Do one command; the exit code."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "run":
            return _run(options)
        if options.command == "register":
            return _register(options)
        for entry in read(options.config).entries:
            calls = GitLabCalls(
                url=entry.url,
                token=entry.token,
                system_id=system_id(options.config.parent),
                executor=entry.executor,
            )
            if options.command == "verify":
                _say(f"{entry.name}: runner {calls.verify()['id']} is valid")
            else:
                calls.unregister()
                _say(f"{entry.name}: this host has left")
    except RunnerRefusedError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.support.runner", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("run", "verify", "unregister", "register"):
        command = commands.add_parser(name)
        command.add_argument("--config", type=Path, required=True)
        if name == "run":
            command.add_argument("--trace-interval", type=float, help="seconds between pieces of a trace")
            command.add_argument("--kill-after", type=float, help="seconds from SIGTERM to SIGKILL on cancel")
        if name == "register":
            command.add_argument("--url", required=True)
            command.add_argument("--token", required=True)
            command.add_argument("--executor", default="shell")
            command.add_argument("--name", default="protocol-client")
            command.add_argument(
                "--non-interactive", action="store_true", help="always so; for the real one's sake"
            )
    return parser


def _run(options: argparse.Namespace) -> int:
    usual = Timing()
    kill_after_s: float | None = options.kill_after
    timing = Timing(
        trace_interval_s=options.trace_interval,
        kill_after_s=usual.kill_after_s if kill_after_s is None else kill_after_s,
        kill_after_canceling_s=usual.kill_after_canceling_s if kill_after_s is None else kill_after_s,
    )
    runner = ProtocolRunner(read(options.config), timing=timing)
    actions = {
        signal.SIGQUIT: runner.drain,
        signal.SIGTERM: runner.stop,
        signal.SIGINT: runner.stop,
        signal.SIGUSR1: runner.lose_host,
    }
    for number, action in actions.items():
        signal.signal(number, _in_thread(action))
    _say("waiting for jobs")
    runner.run()
    return 0


def _in_thread(action: Callable[[], None]) -> Callable[[int, FrameType | None], None]:
    """A handler that acts in a thread: it may have interrupted whoever holds the runner's lock."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        threading.Thread(target=action).start()

    return handle


def _register(options: argparse.Namespace) -> int:
    calls = GitLabCalls(
        url=options.url.rstrip("/"),
        token=options.token,
        system_id=system_id(options.config.parent),
        executor=options.executor,
    )
    verified = calls.verify()
    add_entry(
        options.config,
        name=options.name,
        url=options.url,
        token=options.token,
        executor=options.executor,
        runner_id=verified["id"],
    )
    _say(f"runner {verified['id']} registered in {options.config}")
    return 0


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

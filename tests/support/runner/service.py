"""`gitlab-runner run`: serves until a signal ends it, and follows its file."""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

from tests.support.runner.build import Timing
from tests.support.runner.config import ConfigError, read
from tests.support.runner.config_file import keep_token
from tests.support.runner.metrics import serve
from tests.support.runner.runner import ProtocolRunner, check

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable
    from types import FrameType

    from tests.support.runner.config import Entry, RunnerConfig

__all__ = ["run"]


def run(options: argparse.Namespace) -> int:
    """Until it has drained (SIGQUIT) or was stopped (SIGTERM); the exit code."""
    # What it writes into folders of jobs is for other users, too; what is nobody's business is made with its own mode.
    os.umask(0)
    follower = _Follower(options)
    config = follower.read()
    try:
        check(config)
    except ValueError as error:
        raise ConfigError(f"{options.config}: {error}") from error
    usual = Timing()
    kill_after_s: float | None = options.kill_after
    timing = Timing(
        trace_interval_s=options.trace_interval,
        kill_after_s=usual.kill_after_s if kill_after_s is None else kill_after_s,
        kill_after_canceling_s=usual.kill_after_canceling_s if kill_after_s is None else kill_after_s,
    )
    runner = ProtocolRunner(config, timing=timing, refresh=follower.changed, on_new_token=follower.keep_token)
    actions = {
        signal.SIGQUIT: runner.drain,
        signal.SIGTERM: runner.stop,
        signal.SIGINT: runner.stop,
        signal.SIGUSR1: runner.lose_host,
        signal.SIGHUP: lambda: follower.ask_for(runner),
    }
    for number, action in actions.items():
        signal.signal(number, _in_thread(action))
    server = serve(runner, config.listen_address) if config.listen_address else None
    sys.stdout.write("waiting for jobs\n")
    sys.stdout.flush()
    runner.run()
    if server is not None:
        server.shutdown()
        server.server_close()
    return 0


class _Follower:
    """Reads the file again when it has changed, or when SIGHUP asks for it."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._seen: int | None = None
        self._is_asked = threading.Event()

    def read(self) -> RunnerConfig:
        """What the file says now."""
        self._seen = self._stamp()
        return read(self._options.config, folder=self._options.working_directory, user=self._options.user)

    def ask_for(self, runner: ProtocolRunner) -> None:
        """Read it even if it looks unchanged."""
        self._is_asked.set()
        runner.wake()

    def changed(self) -> RunnerConfig | None:
        """What it says now if that may be news; a file that cannot be used changes nothing."""
        if self._stamp() == self._seen and not self._is_asked.is_set():
            return None
        self._is_asked.clear()
        try:
            config = self.read()
        except ConfigError as error:
            sys.stderr.write(f"ERROR: Failed to load config: {error}\n")
            return None
        sys.stdout.write("Configuration loaded\n")
        sys.stdout.flush()
        return config

    def keep_token(self, old: Entry, new: Entry) -> None:
        """Write a renewed token into the file."""
        keep_token(self._options.config, old, new)
        self._seen = self._stamp()

    def _stamp(self) -> int | None:
        file = self._options.config
        return file.stat().st_mtime_ns if file.exists() else None


def _in_thread(action: Callable[[], None]) -> Callable[[int, FrameType | None], None]:
    """A handler that acts in a thread: it may have interrupted whoever holds the runner's lock."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        threading.Thread(target=action).start()

    return handle

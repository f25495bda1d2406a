"""The coordinator's unit: stopped, started, and waited for."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

from config import Failure
from programs import run

if TYPE_CHECKING:
    from config import Config

SHOWN_LINES = 15
ANSWER_S = 5
PAUSE_S = 0.3


def stop(config: Config) -> None:
    """Stop it; a coordinator that is not there is stopped."""
    run(["systemctl", "stop", config.unit], f"{config.unit} cannot be stopped")


def start(config: Config) -> None:
    """Start it, whatever became of it before."""
    run(["systemctl", "reset-failed", config.unit], f"{config.unit} is not known; run coordinator.yml first")
    run(["systemctl", "start", config.unit], f"{config.unit} cannot be started")


def wait_until_ready(config: Config) -> None:
    """Wait until /readyz says so.

    Raises:
        Failure: it did not within the time, or it ended for good; with the last lines of its journal.
    """
    deadline = time.monotonic() + config.ready_timeout_s
    while (said := _reason_against(config)) is not None:
        if _state(config) == "failed":
            raise Failure(f"{config.unit} has ended and is not started again.{_journal(config)}")
        if time.monotonic() >= deadline:
            raise Failure(
                f"{config.unit} is not ready after {config.ready_timeout_s} s: {said}.{_journal(config)}"
            )
        time.sleep(PAUSE_S)


def _reason_against(config: Config) -> str | None:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(config.ready_url, timeout=ANSWER_S):
            return None
    except urllib.error.HTTPError as error:
        return f"{config.ready_url} answers {error.code}: {error.read(2000).decode('utf-8', 'replace')}"
    except OSError as error:
        return f"{config.ready_url} does not answer ({getattr(error, 'reason', error)})"


def _state(config: Config) -> str:
    what = f"{config.unit} cannot be asked for"
    return run(["systemctl", "show", "--property=ActiveState", "--value", config.unit], what).strip()


def _journal(config: Config) -> str:
    command = ["journalctl", f"--unit={config.unit}", f"--lines={SHOWN_LINES}", "--output=cat", "--no-pager"]
    return (
        f" Its last lines (journalctl -u {config.unit}):\n"
        + run(command, "the journal cannot be read").rstrip()
    )

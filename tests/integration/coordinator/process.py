"""A coordinator as a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

DEADLINE_S = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A coordinator's process and addresses."""

    process: subprocess.Popen[str]
    url: str
    metrics_url: str
    said: str
    """What it printed before it listened."""
    log: list[str]
    """The lines of its log so far."""

    def stop(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_S)

    def has_logged(self, text: str) -> bool:
        return any(text in line for line in self.log)


@contextmanager
def serving(data_dir: Path, **environment: str) -> Iterator[Served]:
    """Start it, wait until it says where it listens, and end it."""
    command = [sys.executable, "-m", "nx_dte", "coordinator", "serve", "--data-dir", str(data_dir)]
    process = subprocess.Popen(
        [*command, "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    log: list[str] = []
    reading = threading.Thread(target=log.extend, args=(process.stderr,), daemon=True)
    reading.start()
    watchdog = threading.Timer(DEADLINE_S, process.kill)
    watchdog.start()
    try:
        said = ""
        while "listening on" not in said:
            line = process.stdout.readline()
            assert line, f"the coordinator ended: {said} {log}"
            said += line
        watchdog.cancel()
        metrics, url = re.findall(r"http://\S+", said)
        yield Served(process=process, url=url, metrics_url=metrics, said=said, log=log)
    finally:
        watchdog.cancel()
        if process.poll() is None:
            process.kill()
        process.wait()
        reading.join(DEADLINE_S)
        process.stdout.close()
        process.stderr.close()


def wait_until(condition: Callable[[], object]) -> None:
    """Until it holds, or the deadline passes."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < DEADLINE_S, "the condition never held"
        time.sleep(0.01)

"""A coordinator as a process of its own, for tests of what only a process shows: memory, disks, signals."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["CoordinatorProcess", "coordinator_process"]

_START_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinatorProcess:
    """A running coordinator."""

    process: subprocess.Popen[str]
    url: str
    metrics_url: str

    def forget_peak(self) -> None:
        """Let the peak of its resident memory begin anew."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def peak_bytes(self) -> int:
        """The most memory it had resident since it was forgotten."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        match = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert match is not None
        return int(match[1]) * 1024


@contextmanager
def coordinator_process(
    data_dir: Path, *, log: Path, prefix: Sequence[str] = (), **environment: str
) -> Iterator[CoordinatorProcess]:
    """Start it, wait until it says where it listens, and end it. It appends its log to the file `log`."""
    command = [*prefix, sys.executable, "-m", "nx_dte", "coordinator", "serve", "--data-dir", str(data_dir)]
    with log.open("ab") as errors:
        process = subprocess.Popen(
            [*command, "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, **environment},
        )
    assert process.stdout is not None
    watchdog = threading.Timer(_START_S, process.kill)
    watchdog.start()
    draining = threading.Thread(target=lambda: [None for _ in process.stdout or ()], daemon=True)
    try:
        said = ""
        while "listening on" not in said:
            line = process.stdout.readline()
            assert line, f"the coordinator ended: {said} {log.read_text(encoding='utf-8')}"
            said += line
        watchdog.cancel()
        draining.start()
        metrics, url = re.findall(r"http://\S+", said)[-2:]
        yield CoordinatorProcess(process=process, url=url, metrics_url=metrics)
    finally:
        watchdog.cancel()
        if process.poll() is None:
            process.kill()
        process.wait()
        if draining.ident is not None:
            draining.join()
        process.stdout.close()

"""The coordinator as a process of its own, on its embedded default."""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import httpx2

from nx_dte.demo.errors import DemoFailedError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["CoordinatorProcess", "free_port"]

_PORTS = range(10_000, 20_000)
READY_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 15.0


def free_port() -> int:
    """A port of the loopback interface nobody listens on.

    Not one of those that Linux gives out by itself: while the coordinator is away, clients that knock at its door again
    and again could be given that very port for their end, and it could not come back.
    """
    for port in random.sample(_PORTS, len(_PORTS)):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise DemoFailedError(f"no port between {_PORTS.start} and {_PORTS.stop} is free")


@dataclass(slots=True, kw_only=True)
class CoordinatorProcess:
    """Starts `nx-dte coordinator serve` on a port it keeps over restarts. A context manager."""

    folder: Path
    settings: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    read_write_token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    read_only_token: str = field(default_factory=lambda: secrets.token_urlsafe(24))
    _process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What jobs set NX_CLOUD_API to."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """The process id, while it runs."""
        if self._process is None:
            raise DemoFailedError("the coordinator was not started")
        return self._process.pid

    @property
    def log_file(self) -> Path:
        """Where its output goes, over all restarts."""
        return self.folder / "coordinator.log"

    @property
    def log(self) -> str:
        """Its output so far."""
        return self.log_file.read_text("utf-8", "replace") if self.log_file.exists() else ""

    def variables(self, *, read_only: bool = False) -> dict[str, str]:
        """The two variables a user sets on jobs."""
        token = self.read_only_token if read_only else self.read_write_token
        return {"NX_CLOUD_API": self.url, "NX_CLOUD_ACCESS_TOKEN": token}

    def start(self) -> None:
        """Start it and wait until it says it is ready."""
        self.folder.mkdir(parents=True, exist_ok=True)
        data = self.folder / "coordinator"
        command = [sys.executable, "-m", "nx_dte", "coordinator", "serve"]
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--listen", f"127.0.0.1:{self.port}", "--data-dir", str(data)],
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._wait_until_ready()

    def _environment(self) -> dict[str, str]:
        own = {
            "NX_DTE_READ_WRITE_TOKEN": self.read_write_token,
            "NX_DTE_READ_ONLY_TOKEN": self.read_only_token,
            "NX_DTE_METRICS_LISTEN": "off",
        }
        return {**os.environ, **own, **self.settings}

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                break
            with contextlib.suppress(httpx2.TransportError):
                if httpx2.get(f"{self.url}/readyz", timeout=5, trust_env=False).is_success:
                    return
            time.sleep(0.05)
        raise DemoFailedError(f"the coordinator did not become ready; its output:\n{self.log}")

    def stop(self) -> int:
        """Ask it to end; returns its exit code."""
        if self._process is None:
            return 0
        self._process.terminate()
        try:
            return self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise DemoFailedError(
                f"the coordinator did not stop within {STOP_TIMEOUT_S:g} s of SIGTERM; its output:\n{self.log}"
            ) from None

    def kill(self) -> None:
        """End it without warning, as a lost host would."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(STOP_TIMEOUT_S)

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop, however the block ended."""
        self.stop()

"""One program that a job runs: its output goes through, its end is an exit code as a shell would say it."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import threading
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["Child", "LineBuffer", "RunningChild", "exit_code_of"]

NOT_FOUND = 127
NOT_EXECUTABLE = 126
_LAST_WORDS_S = 1.0
MAX_HELD_BYTES = 1024 * 1024
"""A program that prints without ever ending a line does not fill our memory."""


class RunningChild(Protocol):
    """What is asked of a child; tests put histories behind it."""

    def poll(self) -> int | None:
        """Its exit code once it has ended, as a shell says it (128 + signal)."""

    def lines(self) -> list[bytes]:
        """What it has printed since the last call, with line ends; a line that is not ended is held back."""

    def ask_to_end(self) -> None:
        """SIGTERM to its process group."""


def exit_code_of(returncode: int) -> int:
    """A shell's way to say how a program ended."""
    return 128 - returncode if returncode < 0 else returncode


class Child:
    """A program in a process group of its own; with `reads_output`, its stdout and stderr come line by line."""

    def __init__(
        self, argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, reads_output: bool = False
    ) -> None:
        """Start it. A program that cannot be started ends at once, with 127 or 126 as in a shell."""
        self._code: int | None = None
        self._lines = LineBuffer()
        self._pump: threading.Thread | None = None
        self._process: subprocess.Popen[bytes] | None = None
        pipe = subprocess.PIPE if reads_output else None
        try:
            self._process = subprocess.Popen(
                list(argv),
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=pipe,
                stderr=subprocess.STDOUT if reads_output else None,
                process_group=0,
            )
        except FileNotFoundError as error:
            self._fail(NOT_FOUND, f"{error.filename or argv[0]}: not found")
        except OSError as error:
            self._fail(NOT_EXECUTABLE, f"{argv[0]}: {error.strerror}")
        if self._process is not None and self._process.stdout is not None:
            self._pump = threading.Thread(target=self._collect, daemon=True, name="nx-dte-output")
            self._pump.start()

    @property
    def pid(self) -> int | None:
        """Its process id; None where it could not be started."""
        return None if self._process is None else self._process.pid

    def poll(self) -> int | None:
        """See RunningChild."""
        if self._code is None and self._process is not None:
            returncode = self._process.poll()
            if returncode is not None:
                if self._pump is not None:
                    # Not for ever: something it left behind may hold the pipe.
                    self._pump.join(_LAST_WORDS_S)
                self._code = exit_code_of(returncode)
        return self._code

    def lines(self) -> list[bytes]:
        """See RunningChild."""
        return self._lines.take(is_over=self._code is not None)

    def ask_to_end(self) -> None:
        """See RunningChild."""
        if self._process is not None and self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGTERM)

    def _fail(self, code: int, message: str) -> None:
        self._code = code
        self._lines.put(f"nx-dte: {message}\n".encode())

    def _collect(self) -> None:
        stream = self._process.stdout if self._process is not None else None
        if stream is None:
            return
        with stream:
            while chunk := os.read(stream.fileno(), 65_536):
                self._lines.put(chunk)


class LineBuffer:
    """Chunks in, whole lines out: the same lines however they were cut into chunks."""

    def __init__(self) -> None:
        self._chunks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._rest = b""

    def put(self, chunk: bytes) -> None:
        """Add what was read."""
        self._chunks.put(chunk)

    def take(self, *, is_over: bool) -> list[bytes]:
        """The whole lines so far, with their ends; when it `is_over` or grows too long the unfinished one, too."""
        parts = [self._rest]
        while not self._chunks.empty():
            parts.append(self._chunks.get())
        lines = b"".join(parts).split(b"\n")
        self._rest = lines.pop()
        found = [line + b"\n" for line in lines]
        if self._rest and (is_over or len(self._rest) >= MAX_HELD_BYTES):
            found.append(self._rest)
            self._rest = b""
        return found

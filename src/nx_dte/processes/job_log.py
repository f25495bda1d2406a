"""The job's log, which a job shares with everything it runs."""

from __future__ import annotations

import os
import select

__all__ = ["ERRORS", "OUTPUT", "write_to_log"]

OUTPUT = 1
ERRORS = 2
_LOOK_S = 1.0


def write_to_log(data: bytes, *, stream: int = OUTPUT) -> None:
    """Write all of it at once, so that it stands in order with what children print to the same stream.

    Node makes streams that it shares non-blocking: a full one is waited for. A log that is gone is no error: nobody is
    there to read, and what the job does matters more.
    """
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(stream, rest) :]
        except BlockingIOError:
            select.select([], [stream], [], _LOOK_S)
        except OSError:
            return

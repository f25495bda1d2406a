"""A job's log: collected from its processes, masked, sent piece by piece; what GitLab answers steers the job."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING

import httpx2

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.runner.api import Answer, GitLabCalls
    from tests.support.runner.job import Job

__all__ = ["Trace"]

_DEFAULT_INTERVAL_S = 3.0
_FINAL_TRIES = 20
_RETRY_S = 0.5
_MASK = b"[MASKED]"
_ENDED = {"canceled", "failed"}


class Trace:
    """Write from any thread; a thread of its own sends. `on_cancel` is called once, with GitLab's word for it."""

    def __init__(
        self,
        calls: GitLabCalls,
        job: Job,
        *,
        on_cancel: Callable[[str], None],
        interval_s: float | None = None,
    ) -> None:
        self._calls = calls
        self._job = job
        self._on_cancel = on_cancel
        self._fixed_interval_s = interval_s
        self._interval_s = interval_s or _DEFAULT_INTERVAL_S
        self._masked = sorted((value.encode() for value in job.masked), key=len, reverse=True)
        self._lock = threading.Lock()
        self._content = bytearray()
        self._sent = 0
        self._stop = threading.Event()
        self._is_told = False
        self._thread = threading.Thread(target=self._send_on, name=f"trace-{job.id}", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def write(self, content: bytes) -> None:
        """Add output; pieces should be whole lines, or a masked value that is split over two is shown."""
        for value in self._masked:
            content = content.replace(value, _MASK)
        with self._lock:
            self._content += content

    def line(self, text: str) -> None:
        """Add a line of the runner's own."""
        self.write(text.encode() + b"\n")

    def abandon(self) -> None:
        """Send nothing more: this host is lost."""
        self._stop.set()
        self._thread.join()

    def finish(self, state: str, *, exit_code: int | None = None, failure_reason: str | None = None) -> None:
        """Send the rest, then the final state, until GitLab has taken both or does not want them."""
        self._stop.set()
        self._thread.join()
        more = {"exit_code": exit_code, "failure_reason": failure_reason}
        for _ in range(_FINAL_TRIES):
            try:
                while self._sent < len(self._content):
                    if self._patch().status_code in {403, 404}:
                        break
                answer = self._calls.update(
                    self._job,
                    state,
                    trace=bytes(self._content),
                    **{key: value for key, value in more.items() if value is not None},
                )
            except httpx2.HTTPError as error:
                self._complain(error)
            else:
                if answer.status_code != httpx2.codes.ACCEPTED:
                    return
            time.sleep(_RETRY_S)

    def _send_on(self) -> None:
        while not self._stop.wait(self._interval_s):
            try:
                self._heed(self._patch() if self._sent < len(self._content) else self._keep_alive())
            except httpx2.HTTPError as error:
                self._complain(error)

    def _keep_alive(self) -> Answer:
        return self._calls.update(self._job, "running")

    def _patch(self) -> Answer:
        with self._lock:
            piece = bytes(self._content[self._sent :])
        answer = self._calls.patch_trace(self._job, self._sent, piece)
        if answer.status_code == httpx2.codes.ACCEPTED:
            self._sent += len(piece)
        elif answer.status_code == httpx2.codes.RANGE_NOT_SATISFIABLE and answer.size is not None:
            self._sent = answer.size
        elif answer.status_code in {403, 404}:
            self._sent = len(self._content)
        return answer

    def _heed(self, answer: Answer) -> None:
        if self._fixed_interval_s is None and answer.interval_s:
            self._interval_s = answer.interval_s
        status = answer.job_status
        if answer.status_code in {403, 404} and status not in _ENDED:
            status = "canceled"
        if status in _ENDED or status == "canceling":
            self._tell(status)

    def _tell(self, status: str) -> None:
        if not self._is_told:
            self._is_told = True
            self._on_cancel(status)

    def _complain(self, error: Exception) -> None:
        sys.stderr.write(f"job {self._job.id}: {error!r}\n")

"""How a coordinator stops: in order, with transfers finished, or at once when it is told twice."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from tests.integration.coordinator.driver import READ_WRITE, digest
from tests.integration.coordinator.process import DEADLINE_S, Served, serving, wait_until
from tests.support.archives import archive_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow  # each starts processes
ROUTE = "PUT /api/v1/cache/{task_hash}"


class SlowUpload:
    """An upload of which the last byte waits for the test."""

    def __init__(self, served: Served, folder: Path) -> None:
        self._may_end = threading.Event()
        self._staging = folder / "artifacts" / "staging"
        self.answers: list[httpx2.Response] = []
        self.errors: list[Exception] = []
        self._thread = threading.Thread(target=self._send, args=(served.url,), daemon=True)
        self._thread.start()
        wait_until(lambda: any(self._staging.iterdir()))

    def _send(self, url: str) -> None:
        data = archive_of(os.urandom(2_000_000))

        def body() -> Iterator[bytes]:
            yield data[:-1]
            self._may_end.wait(DEADLINE_S)
            yield data[-1:]

        headers = {
            "authorization": READ_WRITE,
            "nx-dte-digest": digest(data),
            "content-length": str(len(data)),
        }
        try:
            self.answers.append(
                httpx2.put(f"{url}/api/v1/cache/h1", content=body(), headers=headers, timeout=DEADLINE_S)
            )
        except httpx2.HTTPError as error:
            self.errors.append(error)

    def let_go(self) -> None:
        """Send the last byte, if anybody takes it, and see what comes."""
        self._may_end.set()
        self._thread.join(DEADLINE_S)

    def finish(self) -> httpx2.Response:
        """The answer to the whole of it."""
        self.let_go()
        assert self.errors == []
        return self.answers[0]


@pytest.fixture
def tokens() -> dict[str, str]:
    return {"NX_DTE_READ_WRITE_TOKEN": READ_WRITE}


def _is_refused(url: str) -> bool:
    host, port = url.removeprefix("http://").split(":")
    try:
        socket.create_connection((host, int(port)), timeout=DEADLINE_S).close()
    except ConnectionRefusedError:
        return True
    return False


def _line(served: Served, text: str) -> dict[str, Any]:
    return dict(json.loads(next(line for line in served.log if text in line)))


def test_an_upload_in_progress_ends_well_while_nothing_new_is_taken(
    tmp_path: Path, tokens: dict[str, str]
) -> None:
    with serving(tmp_path, NX_DTE_SHUTDOWN_GRACE_S="25", **tokens) as served:
        upload = SlowUpload(served, tmp_path)
        served.process.send_signal(signal.SIGTERM)
        wait_until(lambda: _is_refused(served.url))

        ready = httpx2.get(f"{served.metrics_url}/readyz")
        page = httpx2.get(f"{served.metrics_url}/metrics").text
        answer = upload.finish()
        code = served.process.wait(DEADLINE_S)

    assert (ready.status_code, ready.json()["error"]["code"]) == (503, "stopping")
    assert "nx_dte_requests_in_progress 1.0" in page
    assert (answer.status_code, answer.json()["stored"]) == (200, True)
    assert code == 0
    assert _line(served, "requests have ended")["waited_for"] == {ROUTE: 1}
    with serving(tmp_path, **tokens) as again:
        lookup = httpx2.post(
            f"{again.url}/api/v1/cache/lookup",
            json={"hashes": ["h1"]},
            headers={"authorization": READ_WRITE},
        )
    assert "h1" in lookup.json()["entries"]


def test_an_upload_that_takes_longer_is_told_to_try_again(tmp_path: Path, tokens: dict[str, str]) -> None:
    with serving(tmp_path, NX_DTE_SHUTDOWN_GRACE_S="0.5", **tokens) as served:
        upload = SlowUpload(served, tmp_path)

        assert served.stop() == 0
        upload.let_go()

    assert [answer.status_code for answer in upload.answers] in ([503], [])
    assert _line(served, "requests were cut short")["cut"] == {ROUTE: 1}
    assert list((tmp_path / "artifacts" / "objects").rglob("*")) == []


def test_a_second_signal_ends_it_at_once(tmp_path: Path, tokens: dict[str, str]) -> None:
    with serving(tmp_path, NX_DTE_SHUTDOWN_GRACE_S="600", **tokens) as served:
        SlowUpload(served, tmp_path)
        served.process.send_signal(signal.SIGTERM)
        wait_until(lambda: served.has_logged('"stopping"'))

        assert served.stop() == 0

    line = _line(served, "requests were cut short")
    assert (line["hurried"], line["cut"]) == (True, {ROUTE: 1})


def test_a_proxy_has_time_to_notice(tmp_path: Path, tokens: dict[str, str]) -> None:
    with serving(tmp_path, NX_DTE_SHUTDOWN_NOTICE_S="600", **tokens) as served:
        served.process.send_signal(signal.SIGTERM)
        wait_until(lambda: httpx2.get(f"{served.url}/readyz").status_code == 503)

        body = {"ci_id": "1", "job_id": "j"}
        opened = httpx2.post(f"{served.url}/api/v1/ci-runs", json=body, headers={"authorization": READ_WRITE})
        alive = httpx2.get(f"{served.url}/healthz")

        assert served.stop() == 0  # the second signal: nobody waits ten minutes for a test

    assert (opened.status_code, alive.status_code) == (200, 200)

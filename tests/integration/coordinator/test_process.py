"""The coordinator as a process of its own, over real sockets."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import httpx2
import pytest

from tests.integration.coordinator.driver import READ_WRITE, digest
from tests.integration.coordinator.process import DEADLINE_S, serving, wait_until

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow  # each starts processes


@pytest.fixture
def tokens() -> dict[str, str]:
    return {"NX_DTE_READ_WRITE_TOKEN": READ_WRITE}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_and_stops_in_order_even_while_clients_wait(
    tmp_path: Path, tokens: dict[str, str], number: int
) -> None:
    with serving(tmp_path, **tokens) as served:
        headers = {"authorization": READ_WRITE}
        with httpx2.Client(base_url=served.url, headers=headers, timeout=DEADLINE_S) as client:
            assert client.get("/healthz").json() == {"status": "ok"}
            assert client.get("/readyz").json() == {"status": "ready"}
            body = {"agent_key": "k", "ci_id": "1", "name": "n", "wait_s": 25}
            answers: list[httpx2.Response] = []
            waiting = threading.Thread(
                target=lambda: answers.append(client.post("/api/v1/agents", json=body))
            )
            waiting.start()
            page = ""
            began = time.monotonic()
            while "tokens" not in page and time.monotonic() - began < 1:  # give the request time to arrive
                page = httpx2.get(f"{served.metrics_url}/metrics").text
                time.sleep(0.05)

            began = time.monotonic()
            assert served.stop(number) == 0
            waiting.join(DEADLINE_S)

    assert time.monotonic() - began < 20  # the client would have waited for 25
    assert answers[0].json()["decision"] == "wait"


def test_after_kill_9_a_run_goes_on(tmp_path: Path, tokens: dict[str, str]) -> None:
    headers = {"authorization": READ_WRITE}
    with serving(tmp_path, **tokens) as served:
        opened = httpx2.post(
            f"{served.url}/api/v1/ci-runs", json={"ci_id": "1", "job_id": "2"}, headers=headers
        ).json()
        served.stop(signal.SIGKILL)

    with serving(tmp_path, **tokens) as served:
        again = httpx2.get(f"{served.url}/api/v1/ci-runs/{opened['ci_run_id']}", headers=headers).json()

    assert again == opened


def test_the_first_start_makes_tokens_and_never_prints_them(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        token = (tmp_path / "tokens" / "read-write").read_text().strip()
        answer = httpx2.get(f"{served.url}/api/v1/ci-runs?ci_id=1", headers={"authorization": token})
        served.stop()

    assert answer.json() == {"ci_run": None}
    assert token not in served.said + "".join(served.log)


def test_metrics_are_shown_on_their_own_listener_only(tmp_path: Path, tokens: dict[str, str]) -> None:
    with serving(tmp_path, **tokens) as served:
        httpx2.get(f"{served.url}/healthz")
        page = httpx2.get(f"{served.metrics_url}/metrics")
        other = httpx2.get(f"{served.url}/metrics")

    assert "nx_dte_build_info" in page.text
    assert 'nx_dte_http_request_duration_seconds_count{code="200",route="/healthz"} 1.0' in page.text
    assert other.status_code == 404


def test_an_upload_that_is_cut_leaves_nothing(tmp_path: Path, tokens: dict[str, str]) -> None:
    with serving(tmp_path, **tokens) as served:
        host, port = served.url.removeprefix("http://").split(":")
        head = (
            f"PUT /api/v1/cache/h1 HTTP/1.1\r\nhost: {host}\r\nauthorization: {READ_WRITE}\r\n"
            f"nx-dte-digest: {digest(b'x')}\r\ncontent-length: 5000000\r\n\r\n"
        )
        staging = tmp_path / "artifacts" / "staging"
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(head.encode() + b"x" * 2_000_000)
            wait_until(lambda: any(staging.iterdir()))
        wait_until(lambda: not any(staging.iterdir()))

        headers = {"authorization": READ_WRITE}
        lookup = httpx2.post(f"{served.url}/api/v1/cache/lookup", json={"hashes": ["h1"]}, headers=headers)
        assert lookup.json() == {"entries": {}}
        assert httpx2.get(f"{served.url}/healthz").status_code == 200

    assert list((tmp_path / "artifacts" / "objects").rglob("*")) == []


def test_an_address_in_use_is_a_configuration_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        command = [sys.executable, "-m", "nx_dte", "coordinator", "serve", "--data-dir", str(tmp_path)]
        done = subprocess.run(
            [*command, "--listen", address], capture_output=True, text=True, check=False, timeout=DEADLINE_S
        )

    assert done.returncode == 78
    assert f"cannot listen on {address}" in done.stderr

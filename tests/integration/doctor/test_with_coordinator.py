"""Against a real coordinator, one that is down, somebody else, and one whose answers are odd."""

from __future__ import annotations

import json
import socket
import threading
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from werkzeug import Response

from tests.support.coordinator_process import coordinator_process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_httpserver import HTTPServer

    from tests.integration.doctor.conftest import Place
    from tests.support.coordinator_process import CoordinatorProcess

READ_WRITE, READ_ONLY = "read-write-token-of-tests", "read-only-token-of-tests"
PROMISE_S = 15.0
END_S = 10.0
ASKED = ("coordinator", "protocol", "light_client", "clock", "token")


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CoordinatorProcess]:
    """A coordinator of ours."""
    folder = tmp_path_factory.mktemp("coordinator")
    tokens = {"NX_DTE_READ_WRITE_TOKEN": READ_WRITE, "NX_DTE_READ_ONLY_TOKEN": READ_ONLY}
    with coordinator_process(folder / "data", log=folder / "log", **tokens) as started:
        yield started


def statuses(checks: dict[str, dict[str, Any]]) -> dict[str, str]:
    return {check_id: checks[check_id]["status"] for check_id in ASKED}


@pytest.mark.slow
@pytest.mark.parametrize("token", [READ_WRITE, READ_ONLY])
def test_all_is_well(place: Place, coordinator: CoordinatorProcess, token: str) -> None:
    checks = place.checks(NX_CLOUD_API=coordinator.url, NX_CLOUD_ACCESS_TOKEN=token, CI_PIPELINE_ID="70")
    assert statuses(checks) == dict.fromkeys(ASKED, "ok"), checks
    assert checks["coordinator_address"]["status"] == "ok"
    assert checks["proxy"]["status"] == "ok"


@pytest.mark.slow
def test_the_token_that_opened_this_pipelines_run_is_named(
    place: Place, coordinator: CoordinatorProcess
) -> None:
    answer = httpx2.post(
        f"{coordinator.url}/api/v1/ci-runs",
        json={"ci_id": "71", "job_id": "1"},
        headers={"authorization": READ_ONLY},
        timeout=30,
        trust_env=False,
    )
    assert answer.is_success
    checks = place.checks(NX_CLOUD_API=coordinator.url, NX_CLOUD_ACCESS_TOKEN=READ_WRITE, CI_PIPELINE_ID="71")
    assert "(attempt 1) of this pipeline was opened with a read-only one" in checks["token"]["found"]


@pytest.mark.slow
def test_a_wrong_token_is_a_problem_and_is_not_shown(place: Place, coordinator: CoordinatorProcess) -> None:
    wrong = "a-token-that-nobody-knows"
    result = place.call(NX_CLOUD_API=coordinator.url, NX_CLOUD_ACCESS_TOKEN=wrong)
    assert result.code == 78
    assert "refuses NX_CLOUD_ACCESS_TOKEN" in result.output
    assert wrong not in result.output + result.errors


@pytest.mark.slow
def test_no_token(place: Place, coordinator: CoordinatorProcess) -> None:
    checks = place.checks(NX_CLOUD_API=coordinator.url)
    assert {**statuses(checks), "token": ""} == {**dict.fromkeys(ASKED, "ok"), "token": ""}
    assert checks["token"]["status"] == "problem"


@pytest.mark.slow
def test_a_host_asks_without_a_token(place: Place, coordinator: CoordinatorProcess) -> None:
    checks = place.checks("--role", "host", NX_CLOUD_API=coordinator.url)
    assert {checks[check_id]["status"] for check_id in ("coordinator", "light_client", "clock")} == {"ok"}


@pytest.mark.slow
def test_one_that_is_down(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    result = place.call(
        "--format", "json", NX_CLOUD_API=f"http://127.0.0.1:{port}", NX_CLOUD_ACCESS_TOKEN=READ_WRITE
    )
    assert result.code == 78
    assert statuses(result.checks) == {**dict.fromkeys(ASKED, "note"), "coordinator": "problem"}
    assert READ_WRITE not in result.output


@contextmanager
def silent_listener() -> Iterator[str]:
    """Takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.slow
def test_one_that_never_answers_does_not_hold_the_doctor(place: Place) -> None:
    with silent_listener() as url:
        began = time.monotonic()
        result = place.call("--format", "json", NX_CLOUD_API=url, NX_CLOUD_ACCESS_TOKEN=READ_WRITE)
        took_s = time.monotonic() - began
    assert result.checks["coordinator"]["status"] == "problem"
    assert "did not answer within" in result.checks["coordinator"]["found"]
    assert took_s < PROMISE_S


# ------------------------------------------------------------------- servers with answers of our choice
def ours(httpserver: HTTPServer) -> None:
    """What only a coordinator of ours answers."""
    refusal = {"error": {"code": "token_missing", "message": "no token", "next": "set it"}}
    httpserver.expect_request("/api/v1/ci-runs").respond_with_json(
        refusal, status=401, headers={"www-authenticate": 'Bearer realm="nx-dte"'}
    )
    httpserver.expect_request("/readyz").respond_with_json({"status": "ready"})


def loader(httpserver: HTTPServer, *, url: str | None = None, bundle: bytes = b"\x1f\x8b...") -> None:
    target = httpserver.url_for("/bundle.tar.gz") if url is None else url
    verification = {"valid": False, "version": "1", "url": target}
    httpserver.expect_request("/nx-cloud/client/verify").respond_with_json(verification)
    httpserver.expect_request("/bundle.tar.gz").respond_with_data(bundle)


def facts_of(place: Place, httpserver: HTTPServer) -> Any:
    return place.facts(NX_CLOUD_API=httpserver.url_for(""), NX_CLOUD_ACCESS_TOKEN=READ_WRITE).coordinator


def test_the_loaders_two_requests(place: Place, httpserver: HTTPServer) -> None:
    ours(httpserver)
    loader(httpserver)
    found = facts_of(place, httpserver).loader
    assert (found.problem, found.bundle_url) == (None, httpserver.url_for("/bundle.tar.gz"))
    asked = [request for request, _ in httpserver.log if request.path.startswith(("/nx-cloud", "/bundle"))]
    assert len(asked) == 2
    assert all("authorization" not in request.headers for request in asked)


def test_a_bundle_that_is_none(place: Place, httpserver: HTTPServer) -> None:
    ours(httpserver)
    loader(httpserver, bundle=b"<html>Sign in</html>")
    assert "and no archive" in facts_of(place, httpserver).loader.problem


@pytest.mark.parametrize(
    ("url", "words"),
    [("ftp://x/b.tar.gz", "address that is none"), ("http://127.0.0.1:1/b", "cannot be downloaded")],
)
def test_a_bundle_that_is_nowhere(place: Place, httpserver: HTTPServer, url: str, words: str) -> None:
    ours(httpserver)
    loader(httpserver, url=url)
    assert words in facts_of(place, httpserver).loader.problem


def test_a_proxy_that_wants_a_login_for_verify(place: Place, httpserver: HTTPServer) -> None:
    ours(httpserver)
    httpserver.expect_request("/nx-cloud/client/verify").respond_with_data("Sign in", status=302)
    assert "verify answers 302" in facts_of(place, httpserver).loader.problem


@contextmanager
def dated(date: str) -> Iterator[str]:
    """A server that says nothing but a date; pytest-httpserver's own would add one of its own."""
    answer = f"HTTP/1.1 200 OK\r\ndate: {date}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n".encode()
    done = threading.Event()
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        listener.settimeout(0.1)

        def serve() -> None:
            while not done.is_set():
                with suppress(OSError), listener.accept()[0] as connection:
                    connection.settimeout(END_S)
                    connection.recv(65_536)
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            done.set()
            thread.join(END_S)


@pytest.mark.parametrize("skew_s", [-400, 0, 3600])
def test_its_clock(place: Place, skew_s: int) -> None:
    said = datetime.now(UTC) + timedelta(seconds=skew_s)
    with dated(format_datetime(said, usegmt=True)) as url:
        found = place.facts(NX_CLOUD_API=url).coordinator.clock_skew_s
    assert found == pytest.approx(skew_s, abs=20)  # a busy machine may take its time to ask


def test_a_date_that_is_none(place: Place) -> None:
    with dated("yesterday") as url:
        assert place.facts(NX_CLOUD_API=url).coordinator.clock_skew_s is None


def test_another_protocol_version(place: Place, httpserver: HTTPServer) -> None:
    refusal = {"error": {"code": "protocol_mismatch", "message": "the client speaks 1", "next": "update"}}

    def answer(request: Any) -> Response:
        if "nx-dte-protocol" not in request.headers:
            return Response("{}", status=401, headers={"www-authenticate": 'Bearer realm="nx-dte"'})
        assert request.headers["authorization"] == READ_WRITE
        return Response(json.dumps(refusal), status=426)

    httpserver.expect_request("/api/v1/ci-runs").respond_with_handler(answer)
    httpserver.expect_request("/readyz").respond_with_json({"status": "ready"})
    token = facts_of(place, httpserver).token
    assert (token.status, token.words) == (426, "the client speaks 1")


def test_somebody_else_never_sees_the_token(place: Place, httpserver: HTTPServer) -> None:
    httpserver.expect_request("/api/v1/ci-runs").respond_with_data("Not found", status=404)
    found = facts_of(place, httpserver)
    assert (found.token, found.loader) == (None, None)
    assert all(READ_WRITE not in str(request.headers) for request, _ in httpserver.log)

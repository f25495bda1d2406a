"""The door to HTTP: its deadline holds, and passing faults are asked about again."""

from __future__ import annotations

import socket
import threading
import time
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from werkzeug import Request, Response

from nx_dte.transport import Caller, NoAnswerError, within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_httpserver import HTTPServer

GENEROUS_S = 10.0


@contextmanager
def server(serve: Callable[[socket.socket, threading.Event], None]) -> Iterator[str]:
    """A listener that treats every connection as `serve` does, until the event is set."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(GENEROUS_S)
    done = threading.Event()

    def run() -> None:
        connection, _ = listener.accept()
        with connection:
            serve(connection, done)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        done.set()
        thread.join(GENEROUS_S)
        listener.close()


def say_nothing(_connection: socket.socket, done: threading.Event) -> None:
    done.wait(GENEROUS_S)


def drip(connection: socket.socket, done: threading.Event) -> None:
    """Each byte comes soon enough to please a time limit on reading; the answer never ends."""
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
    while not done.wait(0.02):
        connection.sendall(b" ")


@pytest.mark.parametrize("serve", [say_nothing, drip])
def test_the_deadline_holds_whatever_the_server_does(
    serve: Callable[[socket.socket, threading.Event], None],
) -> None:
    with server(serve) as url:
        began = time.monotonic()
        with pytest.raises(NoAnswerError, match="within"):
            Caller(base_url=url).get("/", timeout_s=0.3)
        assert time.monotonic() - began < GENEROUS_S / 2


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(NoAnswerError, match=f"127.0.0.1:{port} does not answer"):
        Caller(base_url=f"http://127.0.0.1:{port}").get("/", timeout_s=5, attempts=2)


@pytest.mark.parametrize("url", ["http://[::bad", "http://127.0.0.1:99999", "http://"])
def test_an_address_that_is_none_is_no_answer(url: str) -> None:
    with pytest.raises(NoAnswerError):
        Caller(base_url=url).get("/", timeout_s=5)


def test_a_header_that_cannot_be_sent_is_no_answer(httpserver: HTTPServer) -> None:
    with pytest.raises(NoAnswerError):
        Caller(base_url=httpserver.url_for(""), headers={"authorization": "tök\nen"}).get("/", timeout_s=5)


def answering(httpserver: HTTPServer, *statuses: int) -> None:
    left = list(statuses)

    def answer(_request: Request) -> Response:
        return Response("{}", status=left.pop(0))

    httpserver.expect_request("/").respond_with_handler(answer)


def test_passing_faults_are_asked_about_again(httpserver: HTTPServer) -> None:
    answering(httpserver, 503, 502, 200)
    assert Caller(base_url=httpserver.url_for("")).get("/", timeout_s=GENEROUS_S).status == 200
    assert len(httpserver.log) == 3


@pytest.mark.parametrize("status", [400, 401, 404, 409, 500, 507])
def test_a_refusal_is_an_answer(httpserver: HTTPServer, status: int) -> None:
    answering(httpserver, status)
    answer = Caller(base_url=httpserver.url_for("")).get("/", timeout_s=GENEROUS_S)
    assert (answer.status, answer.is_success) == (status, False)
    assert len(httpserver.log) == 1


def test_a_fault_that_stays_is_the_answer_in_the_end(httpserver: HTTPServer) -> None:
    answering(httpserver, 503, 503)
    caller = Caller(base_url=httpserver.url_for(""))
    assert caller.get("/", timeout_s=GENEROUS_S, attempts=2).status == 503


def test_what_is_posted_arrives(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/", method="POST", json={"a": 1}, headers={"x": "y"}).respond_with_json(
        {"b": 2}
    )
    answer = Caller(base_url=httpserver.url_for(""), headers={"x": "y"}).post("/", body={"a": 1}, timeout_s=5)
    assert answer.json() == {"b": 2}


def test_what_is_no_json_is_none(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/").respond_with_data("<html>")
    assert Caller(base_url=httpserver.url_for("")).get("/", timeout_s=5).json() is None


def test_no_proxy_is_used_unless_it_is_wanted(
    httpserver: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    httpserver.expect_request("/").respond_with_json({})
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert Caller(base_url=httpserver.url_for("")).get("/", timeout_s=5).is_success
    with pytest.raises(NoAnswerError):
        Caller(base_url=httpserver.url_for(""), uses_proxy=True).get("/", timeout_s=5, attempts=1)


def test_headers_are_not_shown() -> None:
    assert "secret" not in repr(Caller(base_url="http://x", headers={"authorization": "secret"}))


@pytest.mark.parametrize("value", ["secr3t\nsecr3t", "secr3t\rx", "secr3t-\u00f6"])
def test_a_header_that_cannot_be_sent_is_not_shown_either(httpserver: HTTPServer, value: str) -> None:
    caller = Caller(base_url=httpserver.url_for(""), headers={"authorization": value})
    with pytest.raises(NoAnswerError, match="characters that HTTP does not allow") as caught:
        caller.get("/", timeout_s=GENEROUS_S)
    assert "secr3t" not in "".join(traceback.format_exception(caught.value))
    assert not httpserver.log


def test_a_password_in_the_address_is_not_shown() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(NoAnswerError, match=f"http://127.0.0.1:{port} does not answer"):
        Caller(base_url=f"http://user:p4ss@127.0.0.1:{port}").get("/", timeout_s=GENEROUS_S, attempts=1)


def test_an_exception_of_the_work_is_raised_where_it_is_waited_for() -> None:
    def fail() -> None:
        raise KeyError("k")

    with pytest.raises(KeyError):
        within(5, fail)

"""A client that goes without a word (host lost, process frozen) holds nothing of the coordinator for ever."""

from __future__ import annotations

import asyncio
import json
import socket
from typing import TYPE_CHECKING

import pytest

from nx_dte.coordinator.api.bodies import JsonBodyMiddleware
from nx_dte.coordinator.api.serving import listen
from nx_dte.coordinator.artifacts.errors import UploadCutError
from nx_dte.coordinator.artifacts.staging import StagedUpload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from starlette.types import Message, Receive, Scope, Send

SOON_S = 0.05


async def for_ever() -> None:
    await asyncio.Event().wait()


async def test_an_upload_of_which_no_more_comes_is_given_up_and_leaves_nothing(tmp_path: Path) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"x" * 3_000_000
        await for_ever()

    def files() -> list[str]:
        return [path.name for path in tmp_path.iterdir()]

    with StagedUpload(tmp_path / "upload", 10_000_000, patience_s=SOON_S) as upload:
        with pytest.raises(UploadCutError, match="after 3000000 bytes"):
            await upload.receive(body())
        assert files() == ["upload"]
    assert files() == []


async def test_a_request_of_which_no_more_comes_is_told_to_come_again() -> None:
    parts: list[Message] = [{"type": "http.request", "body": b'{"slots": ', "more_body": True}]
    sent: list[Message] = []

    async def receive() -> Message:
        if not parts:
            await for_ever()
        return parts.pop()

    async def send(message: Message) -> None:
        sent.append(message)

    async def app(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise AssertionError("a part of a request was taken for a whole one")

    scope: Scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    await JsonBodyMiddleware(app, max_bytes=1000, patience_s=SOON_S)(scope, receive, send)

    assert sent[0]["status"] == 503
    error = json.loads(sent[1]["body"])["error"]
    assert error["code"] == "unavailable"
    assert "send it again" in error["message"]


def test_the_kernel_looks_whether_a_silent_client_is_still_there() -> None:
    with listen("127.0.0.1:0") as listener, socket.create_connection(listener.getsockname()):
        connection, _ = listener.accept()
        with connection:
            assert connection.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            idle_s, every_s, times, unanswered_ms = (
                connection.getsockopt(socket.IPPROTO_TCP, option)
                for option in (
                    socket.TCP_KEEPIDLE,
                    socket.TCP_KEEPINTVL,
                    socket.TCP_KEEPCNT,
                    socket.TCP_USER_TIMEOUT,
                )
            )
    assert idle_s + every_s * times <= 120
    assert unanswered_ms <= 120_000

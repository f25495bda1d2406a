"""JSON request bodies: read whole, within a limit, and unpacked when gzip.

Only POST bodies come through here; artifacts are PUT and streamed. The limit counts unpacked bytes, and unpacking
stops at it, so a gzip bomb costs no more memory than an honest request.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING

from nx_dte.coordinator.api.errors import (
    MalformedError,
    RequestTooLargeError,
    UnavailableError,
    error_response,
)

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATIENCE_S = 60.0  # for the next piece of a body: a sender silent for so long has gone, or is frozen
_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_REWRITTEN = frozenset({b"content-encoding", b"content-length", b"content-type", b"transfer-encoding"})


class JsonBodyMiddleware:
    """Hands the application a complete, unpacked JSON body."""

    def __init__(self, app: ASGIApp, *, max_bytes: int, patience_s: float = PATIENCE_S) -> None:
        self._app = app
        self._max_bytes = max_bytes
        self._patience_s = patience_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Buffer the body of a POST; leave everything else alone."""
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        try:
            body = await self._read(receive)
            if body is None:
                return  # the client went away while sending; nobody waits for an answer
            encoding = dict(scope["headers"]).get(b"content-encoding", b"identity").strip().lower()
            body = self._unpack(body, encoding.decode("latin-1"))
        except (MalformedError, RequestTooLargeError, UnavailableError) as error:
            await error_response(error)(scope, receive, send)
            return
        headers = [(name, value) for name, value in scope["headers"] if name not in _REWRITTEN]
        headers += [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        # In place: who watches from outside reads the route from this very scope.
        scope["headers"] = headers
        await self._app(scope, _replay(body, receive), send)

    async def _read(self, receive: Receive) -> bytes | None:
        body = bytearray()
        while True:
            try:
                async with asyncio.timeout(self._patience_s):
                    message = await receive()
            except TimeoutError as error:
                raise UnavailableError(
                    f"nothing came for {self._patience_s:g} s in the middle of a request; send it again"
                ) from error
            if message["type"] != "http.request":
                return None
            body += message.get("body", b"")
            if len(body) > self._max_bytes:
                raise RequestTooLargeError(
                    f"the request is larger than {self._max_bytes} bytes; raise request_max_bytes on the coordinator"
                )
            if not message.get("more_body", False):
                return bytes(body)

    def _unpack(self, body: bytes, encoding: str) -> bytes:
        if encoding in {"", "identity"}:
            return body
        if encoding != "gzip":
            raise MalformedError(f"content-encoding {encoding!r} is not understood; send gzip or none")
        unpacker = zlib.decompressobj(_GZIP_WINDOW)
        try:
            unpacked = unpacker.decompress(body, self._max_bytes + 1)
        except zlib.error as error:
            raise MalformedError(f"the gzip body cannot be unpacked: {error}") from error
        if len(unpacked) > self._max_bytes:
            raise RequestTooLargeError(
                f"the request unpacks to more than {self._max_bytes} bytes; raise request_max_bytes on the coordinator"
            )
        if not unpacker.eof:
            raise MalformedError("the gzip body ends too early; send it again")
        return unpacked


def _replay(body: bytes, receive: Receive) -> Receive:
    sent = False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            return await receive()  # only a disconnect can follow
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay

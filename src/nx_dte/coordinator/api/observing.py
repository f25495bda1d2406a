"""Around every request: version check, one metric, ids for the log."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import structlog

from nx_dte.coordinator.api.errors import ProtocolMismatchError, error_response
from nx_dte.protocol import PROTOCOL_VERSION

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from nx_dte.telemetry import Metrics

VERSION_HEADER = b"nx-dte-protocol"
WAITED = "nx_dte.waited"  # the request's `Patience`s: what they waited is no work


class ObservingMiddleware:
    """The outermost layer of the API."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check the version, run the request, observe it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope[WAITED] = []
        status = 500

        async def watch(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        began = time.perf_counter()
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(method=scope["method"], path=scope["path"])
        try:
            refusal = _version_refusal(scope)
            await (self._app if refusal is None else error_response(refusal))(scope, receive, watch)
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            waited = sum(patience.waited_s for patience in scope[WAITED])
            elapsed = time.perf_counter() - began - waited
            self._metrics.http_request_duration_seconds.labels(route=route, code=str(status)).observe(
                max(0, elapsed)
            )


def _version_refusal(scope: Scope) -> ProtocolMismatchError | None:
    spoken = dict(scope["headers"]).get(VERSION_HEADER)
    if spoken is None or spoken == str(PROTOCOL_VERSION).encode():
        return None
    text = spoken.decode("latin-1")
    older = "the light client" if text.isdecimal() and int(text) < PROTOCOL_VERSION else "the coordinator"
    return ProtocolMismatchError(
        f"the client speaks protocol {text[:20]}, this coordinator speaks {PROTOCOL_VERSION}; update {older}"
        + (
            " (a bundle may be cached for 30 minutes: NX_CLOUD_FORCE_REVALIDATE=true)"
            if "light" in older
            else ""
        )
    )

"""Around every request: version check, one metric, ids for the log."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import structlog

from nx_dte.coordinator.api.errors import (
    ERROR_CODE,
    STATUS,
    ProtocolMismatchError,
    StoppingError,
    error_response,
)
from nx_dte.coordinator.api.traffic import route_of
from nx_dte.protocol import PROTOCOL_VERSION

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from nx_dte.coordinator.api.traffic import Traffic
    from nx_dte.telemetry import Metrics

VERSION_HEADER = b"nx-dte-protocol"
WAITED = "nx_dte.waited"  # the request's `Patience`s: what they waited is no work

NOT_ANSWERED = 500  # what a request counts as that ends without an answer


class ObservingMiddleware:
    """The outermost layer of the API."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics, traffic: Traffic) -> None:
        self._app = app
        self._metrics = metrics
        self._traffic = traffic
        metrics.preset(metrics.errors_total, "code", STATUS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Check the version, run the request, observe it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope[WAITED] = []
        status = NOT_ANSWERED

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
            with self._traffic.request(scope):
                await (self._app if refusal is None else error_response(refusal))(scope, receive, watch)
        except asyncio.CancelledError:
            if not self._traffic.is_stopping or status != NOT_ANSWERED:
                raise
            # Its time to end is over. Answered, so that the client tries again instead of taking it for a fault.
            await error_response(StoppingError())(scope, receive, watch)
        finally:
            route = route_of(scope)
            if (code := scope.get(ERROR_CODE)) is not None:
                self._metrics.errors_total.labels(code=code).inc()
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

"""Listening: the API and /metrics, on two sockets of one event loop, until a signal comes."""

from __future__ import annotations

import asyncio
import signal
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn

from nx_dte.errors import ConfigurationError
from nx_dte.settings import split_address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import ASGIApp

    from nx_dte.settings import CoordinatorSettings

BACKLOG = 2048
KEEP_ALIVE_S = 120  # longer than proxies and clients keep a connection, so that they close it, not we


class _Server(uvicorn.Server):
    """uvicorn, with signals left to us: two servers of one process cannot both own them."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


async def serve_until_told(
    settings: CoordinatorSettings, *, api: ASGIApp, metrics: ASGIApp, on_stop: Callable[[], None]
) -> None:
    """Serve; on SIGTERM or SIGINT call `on_stop`, let requests end, and return."""
    listeners = [_listen(settings.listen)]
    servers = [_server(api, settings)]
    if settings.metrics_listen != "off":
        listeners.append(_listen(settings.metrics_listen))
        servers.append(_server(metrics, settings))

    def stop() -> None:
        on_stop()
        for server in servers:
            server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    serving = [
        asyncio.create_task(server.serve(sockets=[listener]))
        for server, listener in zip(servers, listeners, strict=True)
    ]
    announcing = asyncio.create_task(_announce(servers, listeners))
    try:
        await asyncio.gather(*serving)
    finally:
        announcing.cancel()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def _announce(servers: list[_Server], listeners: list[socket.socket]) -> None:
    while not all(server.started for server in servers):  # noqa: ASYNC110 - uvicorn offers no event for it
        await asyncio.sleep(0.01)
    names = ("nx-dte coordinator listening on", "nx-dte coordinator shows metrics on")
    for name, listener in reversed(list(zip(names, listeners, strict=False))):
        print(f"{name} {_url(listener)}", flush=True)  # noqa: T201 - scripts wait for this line


def _server(app: ASGIApp, settings: CoordinatorSettings) -> _Server:
    return _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=int(max(1, settings.shutdown_grace_s)),
        )
    )


def _listen(address: str) -> socket.socket:
    host, port = split_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {address}: {error.strerror}; choose another address"
        ) from error


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

"""Listening: the API and /metrics, on two sockets of one event loop, until a signal comes."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import structlog
import uvicorn

from nx_dte.errors import ConfigurationError
from nx_dte.settings import split_address

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from starlette.types import ASGIApp

    from nx_dte.coordinator.api.traffic import Traffic
    from nx_dte.settings import CoordinatorSettings

BACKLOG = 2048
# How a connection notices that its client's machine has gone without a word; accepted sockets inherit it.
_PATIENCE = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 60),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 15),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
    (socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 120_000),
)
KEEP_ALIVE_S = 120  # longer than proxies and clients keep a connection, so that they close it, not we

log: structlog.stdlib.BoundLogger = structlog.get_logger("nx_dte.serving")


class _Server(uvicorn.Server):
    """uvicorn, with signals left to us: two servers of one process cannot both own them."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    def cut(self) -> None:
        """End every request that is still being handled."""
        for task in self.server_state.tasks:
            task.cancel()


@dataclass(slots=True, kw_only=True)
class _Told:
    """How often a signal has told us to stop."""

    to_stop: asyncio.Event = field(default_factory=asyncio.Event)
    to_hurry: asyncio.Event = field(default_factory=asyncio.Event)

    def once_more(self) -> None:
        """A signal came."""
        (self.to_hurry if self.to_stop.is_set() else self.to_stop).set()

    async def hurried_within(self, seconds: float) -> bool:
        """Wait so long; True as soon as a second signal has come."""
        try:
            async with asyncio.timeout(seconds):
                await self.to_hurry.wait()
        except TimeoutError:
            pass
        return self.to_hurry.is_set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Applications:
    """What is served, and what is known of its requests."""

    api: ASGIApp
    metrics: ASGIApp
    traffic: Traffic
    on_stop: Callable[[], None]
    """Answers whoever waits in a long-poll."""


async def serve_until_told(settings: CoordinatorSettings, served: Applications) -> None:
    """Serve until SIGTERM or SIGINT, then stop in order and return; a second signal cuts it short.

    In order: /readyz says 503 for `shutdown_notice_s`; long-polls are answered and no connection is taken any more;
    requests in progress have `shutdown_grace_s` to end. /metrics stays until the last of them has.
    """
    listeners = [listen(settings.listen)]
    servers = [_server(served.api)]
    if settings.metrics_listen != "off":
        listeners.append(listen(settings.metrics_listen))
        servers.append(_server(served.metrics))
    told = _Told()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.once_more)
    serving = [
        asyncio.create_task(server.serve(sockets=[listener]))
        for server, listener in zip(servers, listeners, strict=True)
    ]
    announcing = asyncio.create_task(_announce(servers, listeners))
    stopping = asyncio.create_task(_stop_in_order(settings, served, told, servers, serving[0]))
    try:
        await asyncio.gather(*serving, stopping)
    finally:
        announcing.cancel()
        stopping.cancel()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def _stop_in_order(
    settings: CoordinatorSettings,
    served: Applications,
    told: _Told,
    servers: list[_Server],
    serving_api: asyncio.Task[None],
) -> None:
    await told.to_stop.wait()
    began = time.monotonic()
    traffic, api = served.traffic, servers[0]
    traffic.is_stopping = True
    log.info(
        "stopping",
        in_progress=traffic.by_route(),
        notice_s=settings.shutdown_notice_s,
        grace_s=settings.shutdown_grace_s,
    )
    if settings.shutdown_notice_s > 0:
        await told.hurried_within(settings.shutdown_notice_s)
    served.on_stop()
    waited_for = traffic.by_route()
    api.should_exit = True
    patience = asyncio.create_task(told.hurried_within(settings.shutdown_grace_s))
    await asyncio.wait({patience, serving_api}, return_when=asyncio.FIRST_COMPLETED)
    cut = {} if serving_api.done() else traffic.by_route()
    if not serving_api.done():
        api.cut()
        api.force_exit = True  # ends its own waiting
    patience.cancel()
    log.info(
        "requests have ended" if not cut else "requests were cut short",
        waited_for=waited_for,
        cut=cut,
        waited_s=round(time.monotonic() - began, 3),
        hurried=told.to_hurry.is_set(),
    )
    for server in servers:
        server.should_exit = True


async def _announce(servers: list[_Server], listeners: list[socket.socket]) -> None:
    while not all(server.started for server in servers):  # noqa: ASYNC110 - uvicorn offers no event for it
        await asyncio.sleep(0.01)
    names = ("nx-dte coordinator listening on", "nx-dte coordinator shows metrics on")
    for name, listener in reversed(list(zip(names, listeners, strict=False))):
        print(f"{name} {_url(listener)}", flush=True)  # noqa: T201 - scripts wait for this line


def _server(app: ASGIApp) -> _Server:
    return _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_S,
        )
    )


def listen(address: str) -> socket.socket:
    """A socket that listens on HOST:PORT.

    Raises:
        ConfigurationError: the address is not ours, or taken.
    """
    host, port = split_address(address)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise ConfigurationError(
            f"cannot listen on {address}: {error.strerror}; choose another address"
        ) from error
    for level, option, value in _PATIENCE:
        listener.setsockopt(level, option, value)
    return listener


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

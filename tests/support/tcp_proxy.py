"""A TCP proxy that can be told to misbehave: between clients and coordinators, or coordinators and their database.

It forwards bytes and knows next to nothing of HTTP. Several upstreams are taken in turn; one that refuses a connection is
passed over, as a load balancer would. Everything can be changed while connections are open:

    with TcpProxy([("127.0.0.1", port)]) as proxy:
        proxy.url                   # what clients use
        proxy.cut()                 # reset every open connection
        proxy.is_refusing = True    # accept nothing more: connection reset at once
        proxy.is_stalled = True     # accept, but let no byte through
        proxy.delay_s = 0.5         # each answer's first bytes wait
        proxy.cut_answers(2)        # the next two answers end in their middle
        proxy.spoil_uploads(2)      # of the next two PUTs one byte arrives wrong
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["TcpProxy"]

_CHUNK = 64 * 1024
_LOOK_S = 0.02
_START_S = 10.0


@dataclass(slots=True, kw_only=True)
class _Connections:
    """What is open now, by the loop's own thread only."""

    writers: set[asyncio.StreamWriter] = field(default_factory=set)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)


class TcpProxy:
    """Listens on a loopback port in a thread of its own. A context manager; use from any thread."""

    def __init__(self, upstreams: Sequence[tuple[str, int]], *, port: int = 0) -> None:
        self.upstreams = list(upstreams)
        self.delay_s = 0.0
        self.is_refusing = False
        self.is_stalled = False
        self.port = port
        self.replaced: dict[bytes, bytes] = {}
        """What requests say, and what is passed on instead: of one length."""
        self.accepted = 0
        """Connections taken so far."""
        self._answers_to_cut = 0
        self._uploads_to_spoil = 0
        self._turn = itertools.count()
        self._open = _Connections()
        self._loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._thread = threading.Thread(target=self._run, name="tcp-proxy", daemon=True)

    @property
    def url(self) -> str:
        """The address for HTTP clients."""
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Reset every open connection; new ones are taken."""
        self._call(self._cut_all)

    def cut_answers(self, count: int) -> None:
        """Let the next `count` answers break off in their middle."""
        self._answers_to_cut += count

    def spoil_uploads(self, count: int) -> None:
        """Let one byte of each of the next `count` PUTs' bodies arrive as another."""
        self._uploads_to_spoil += count

    def start(self) -> None:
        """Listen; the port is known afterwards."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(_START_S)

    def close(self) -> None:
        """Stop listening and reset what is open."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(_START_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_START_S)
        self._loop.close()

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop."""
        self.close()

    # ------------------------------------------------------------------------------- in the loop's thread
    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _call(self, work: object) -> None:
        assert callable(work)
        done = threading.Event()

        def run() -> None:
            work()
            done.set()

        self._loop.call_soon_threadsafe(run)
        done.wait(_START_S)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def _stop(self) -> None:
        if self._server is not None:
            self._server.close()
        self._cut_all()
        tasks = list(self._open.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _cut_all(self) -> None:
        for writer in list(self._open.writers):
            _reset(writer)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        task = asyncio.current_task()
        assert task is not None
        self._open.tasks.add(task)
        self._open.writers.add(writer)
        try:
            await self._serve(reader, writer)
        except asyncio.CancelledError:
            pass  # the proxy closes; asyncio's streams would report it as an error
        finally:
            self._open.tasks.discard(task)
            self._open.writers.discard(writer)
            _reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_refusing:
            return
        upstream = await self._connect()
        if upstream is None:
            return
        up_reader, up_writer = upstream
        self._open.writers.add(up_writer)
        try:
            ways = {
                asyncio.create_task(self._forward(reader, up_writer, is_answer=False)),
                asyncio.create_task(self._forward(up_reader, writer, is_answer=True)),
            }
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
        finally:
            self._open.writers.discard(up_writer)
            _reset(up_writer)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        upstreams = list(self.upstreams)
        first = next(self._turn)
        for offset in range(len(upstreams)):
            host, port = upstreams[(first + offset) % len(upstreams)]
            with contextlib.suppress(OSError):
                return await asyncio.open_connection(host, port)
        return None

    async def _forward(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, is_answer: bool
    ) -> None:
        is_upload = False
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK):
                if not is_answer:
                    is_upload = is_upload or data.startswith(b"PUT ")
                    if is_upload and self._uploads_to_spoil > 0 and not data.endswith(b"\r\n\r\n"):
                        is_upload, self._uploads_to_spoil = False, self._uploads_to_spoil - 1
                        data = data[:-1] + bytes([data[-1] ^ 1])
                    for said, instead in self.replaced.items():
                        data = data.replace(said, instead)
                while self.is_stalled:  # noqa: ASYNC110 - set by another thread; an event would be no simpler
                    await asyncio.sleep(_LOOK_S)
                if is_answer and self.delay_s:
                    await asyncio.sleep(self.delay_s)
                if is_answer and self._answers_to_cut > 0:
                    self._answers_to_cut -= 1
                    writer.write(data[: len(data) // 2])
                    await writer.drain()
                    return
                writer.write(data)
                await writer.drain()
            if writer.can_write_eof():
                writer.write_eof()
                await writer.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, RuntimeError):
        writer.transport.abort()

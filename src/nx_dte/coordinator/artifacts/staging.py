"""One upload on its way in: counted, hashed, written to a temporary file.

Bytes are buffered up to a mebibyte and written, with their hashing, in a worker thread: an artifact that is only a
terminal output costs one hop, and a slow disk never stops the event loop.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

from nx_dte.coordinator.artifacts.errors import ArtifactTooLargeError, NoSpaceError, UploadCutError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path
    from typing import BinaryIO, Self

BUFFER = 1024 * 1024
PATIENCE_S = 120.0  # a sender that says nothing for so long has gone without a word, or is frozen
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class StagedUpload:
    """A temporary file that goes away unless it is published."""

    def __init__(self, path: Path, limit: int, *, patience_s: float = PATIENCE_S) -> None:
        self.path = path
        self.size = 0
        self._limit = limit
        self._patience_s = patience_s
        self._hash = hashlib.sha256()
        self._file: BinaryIO | None = None

    @property
    def digest(self) -> str:
        """sha256 of what arrived, 64 hex digits."""
        return self._hash.hexdigest()

    async def receive(self, body: AsyncIterator[bytes]) -> None:
        """Take in the whole body.

        Raises:
            ArtifactTooLargeError: as soon as the limit is passed.
            NoSpaceError: the disk is full.
            UploadCutError: nothing more comes.
        """
        buffer = bytearray()
        async for chunk in self._in_time(body):
            self.size += len(chunk)
            if self.size > self._limit:
                raise ArtifactTooLargeError(
                    f"the artifact is larger than {self._limit} bytes; raise artifact_max_bytes or narrow the task's "
                    "outputs"
                )
            buffer += chunk
            if len(buffer) >= BUFFER:
                await asyncio.to_thread(self._write, bytes(buffer))
                buffer.clear()
        await asyncio.to_thread(self._finish, bytes(buffer))

    async def _in_time(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        while True:
            try:
                async with asyncio.timeout(self._patience_s):
                    chunk = await anext(body, None)
            except TimeoutError as error:
                raise UploadCutError(
                    f"nothing came for {self._patience_s:g} s after {self.size} bytes of an artifact; upload it again"
                ) from error
            if chunk is None:
                return
            yield chunk

    def _write(self, data: bytes) -> None:
        with space_errors():
            if self._file is None:
                self._file = self.path.open("xb", buffering=0)
            self._hash.update(data)
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) :]

    def _finish(self, rest: bytes) -> None:
        self._write(rest)
        self.close()

    def close(self) -> None:
        """Close the file, if it is open."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
        self.path.unlink(missing_ok=True)


@contextmanager
def space_errors() -> Iterator[None]:
    """Turn 'disk full' into our own error."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise NoSpaceError(
            "no space is left for artifacts; free some, or move data_dir or artifacts_url to a larger store"
        ) from error

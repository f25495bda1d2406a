"""Blobs in an object store (S3, GCS, Azure) through obstore. A put there is atomic and durable when answered."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import obstore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from obstore.store import ObjectStore

CHUNK = 1024 * 1024


class ObjectBlobStore:
    """Blobs under a bucket and prefix."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    async def publish(self, staged: Path, key: str) -> None:
        """Upload the staged file, in parts when it is large."""
        await obstore.put_async(self._store, key, staged)

    async def remove(self, key: str) -> None:
        """Delete the blob; object stores finish the downloads they have begun."""
        with suppress(FileNotFoundError):
            await obstore.delete_async(self._store, key)

    async def open(self, key: str) -> AsyncIterator[bytes] | None:
        """Start the download."""
        try:
            result = await obstore.get_async(self._store, key)
        except FileNotFoundError:
            return None
        return _chunks(result)

    async def exists(self, key: str) -> bool:
        """Ask the store for the blob's head."""
        try:
            await obstore.head_async(self._store, key)
        except FileNotFoundError:
            return False
        return True

    async def check(self) -> None:
        """Ask for a blob that never exists: any answer but 'not found' is a fault of store or credentials."""
        await self.exists(".nx-dte-check")


async def _chunks(result: obstore.GetResult) -> AsyncIterator[bytes]:
    async for chunk in result.stream(min_chunk_size=CHUNK):
        yield bytes(chunk)

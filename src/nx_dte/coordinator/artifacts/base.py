"""The port: where published archives live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


class BlobStore(Protocol):
    """Write-once blobs, each under a key that is used once only. Every method may be called many times at once."""

    async def publish(self, staged: Path, key: str) -> None:
        """Make the staged file readable under `key`, durably, at once or not at all.

        The file may be consumed.
        """
        ...

    async def remove(self, key: str) -> None:
        """Remove the blob, if it is there; whoever reads it goes on reading it."""
        ...

    async def open(self, key: str) -> AsyncIterator[bytes] | None:
        """Stream the blob, or None when there is none; nothing is read before the first chunk is asked for."""
        ...

    async def exists(self, key: str) -> bool:
        """Whether the blob is there."""
        ...

    async def check(self) -> None:
        """Raise when the store cannot be used now."""
        ...

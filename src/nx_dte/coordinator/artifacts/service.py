"""Taking artifacts in and giving them out."""

from __future__ import annotations

import asyncio
import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

from nx_dte.coordinator.artifacts.errors import ArtifactTooLargeError, DigestMismatchError, UploadCutError
from nx_dte.coordinator.artifacts.staging import StagedUpload, space_errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from nx_dte.coordinator.artifacts.base import BlobStore

DIGEST_PATTERN = re.compile(r"sha256:([0-9a-f]{64})")


class ArtifactService:
    """Checks uploads on their way into a blob store. Which blobs there are is remembered elsewhere, by their keys."""

    def __init__(
        self,
        *,
        blobs: BlobStore,
        staging: Path,
        max_bytes: int,
        new_name: Callable[[], str],
        inspect: Callable[[Path], None],
    ) -> None:
        self._blobs = blobs
        self._staging = staging
        self._max_bytes = max_bytes
        self._new_name = new_name
        self._inspect = inspect

    def start(self) -> int:
        """Remove what uploads of an earlier process left behind; returns how many files that were."""
        self._staging.mkdir(parents=True, exist_ok=True, mode=0o700)
        leftovers = list(self._staging.iterdir())
        for leftover in leftovers:
            leftover.unlink()
        return len(leftovers)

    def check_size(self, announced_size: int) -> None:
        """Refuse what says itself that it is too large, before a byte of it is read.

        Raises:
            ArtifactTooLargeError: it is.
        """
        if announced_size > self._max_bytes:
            raise ArtifactTooLargeError(
                f"the artifact has {announced_size} bytes, {self._max_bytes} are allowed; raise artifact_max_bytes "
                "or narrow the task's outputs"
            )

    @asynccontextmanager
    async def received(
        self, *, digest: str | None, announced_size: int | None, body: AsyncIterator[bytes]
    ) -> AsyncIterator[StagedUpload]:
        """Take one upload in and check it; what is not published in the block is thrown away after it.

        Raises:
            ArtifactTooLargeError: it is, or says it will be, over the limit.
            DigestMismatchError: the bytes are others than announced.
            UploadCutError: fewer bytes came than announced.
            UnsafeArchiveError: it is no archive, or one that could write outside the workspace.
            NoSpaceError: the disk is full.
        """
        expected = parse_digest(digest)
        if announced_size is not None:
            self.check_size(announced_size)
        with StagedUpload(self._staging / self._new_name(), self._max_bytes) as upload:
            await upload.receive(body)
            if announced_size is not None and upload.size != announced_size:
                raise UploadCutError(
                    f"{upload.size} of {announced_size} bytes arrived for artifact {expected}; upload it again"
                )
            if upload.digest != expected:
                raise DigestMismatchError(
                    f"the upload has sha256 {upload.digest} but was announced as {expected}; upload it again"
                )
            await asyncio.to_thread(self._inspect, upload.path)
            yield upload

    def new_key(self, *, workspace: str, artifact_id: str) -> str:
        """A key that no blob ever had.

        Were it the digest alone, removing a blob could remove the same bytes that somebody has just uploaded again.
        Keys are kept apart by workspace, and spread so that no folder grows huge.
        """
        folder = quote(workspace, safe="").replace(".", "%2E")
        return f"{folder}/{artifact_id[:2]}/{artifact_id}-{self._new_name()}"

    async def publish(self, upload: StagedUpload, key: str) -> None:
        """Make a checked upload readable under the key, durably.

        Raises:
            NoSpaceError: the disk is full; nothing is readable under the key.
        """
        with space_errors():
            await self._blobs.publish(upload.path, key)

    async def remove(self, key: str) -> None:
        """Remove a blob, if it is there."""
        await self._blobs.remove(key)

    async def open(self, key: str) -> AsyncIterator[bytes] | None:
        """Stream a blob, or None when its bytes are gone."""
        return await self._blobs.open(key)

    async def exists(self, key: str) -> bool:
        """Whether the blob's bytes are there."""
        return await self._blobs.exists(key)

    async def check(self) -> None:
        """Raise when artifacts cannot be taken in now."""
        await self._blobs.check()
        if not await asyncio.to_thread(self._staging.is_dir):
            raise FileNotFoundError(f"the staging folder {self._staging} is gone; restart the coordinator")


def parse_digest(header: str | None) -> str:
    """Read an `nx-dte-digest` header.

    Raises:
        DigestMismatchError: it is missing or malformed, so nothing can be checked.
    """
    match = DIGEST_PATTERN.fullmatch(header or "")
    if match is None:
        raise DigestMismatchError("the upload needs a header 'nx-dte-digest: sha256:<64 hex digits>'")
    return match[1]

"""Taking artifacts in and giving them out."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nx_dte.coordinator.artifacts.errors import ArtifactTooLargeError, DigestMismatchError, UploadCutError
from nx_dte.coordinator.artifacts.staging import StagedUpload, space_errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from nx_dte.coordinator.artifacts.base import BlobStore

DIGEST_PATTERN = re.compile(r"sha256:([0-9a-f]{64})")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredArtifact:
    """An artifact that is durable and published."""

    artifact_id: str
    size: int


class ArtifactService:
    """Checks uploads on their way into a blob store."""

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

    async def receive(
        self, *, workspace: str, digest: str | None, announced_size: int | None, body: AsyncIterator[bytes]
    ) -> StoredArtifact:
        """Stage, check and publish one upload.

        Raises:
            ArtifactTooLargeError: it is, or says it will be, over the limit.
            DigestMismatchError: the bytes are others than announced.
            UploadCutError: fewer bytes came than announced.
            UnsafeArchiveError: it is no archive, or one that could write outside the workspace.
            NoSpaceError: the disk is full.
        """
        expected = parse_digest(digest)
        if announced_size is not None and announced_size > self._max_bytes:
            raise ArtifactTooLargeError(
                f"the artifact has {announced_size} bytes, {self._max_bytes} are allowed; raise artifact_max_bytes "
                "or narrow the task's outputs"
            )
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
            with space_errors():
                await self._blobs.publish(upload.path, blob_key(workspace, expected))
            return StoredArtifact(artifact_id=expected, size=upload.size)

    async def open(self, *, workspace: str, artifact_id: str) -> AsyncIterator[bytes] | None:
        """Stream an artifact, or None when its bytes are gone."""
        return await self._blobs.open(blob_key(workspace, artifact_id))

    async def exists(self, *, workspace: str, artifact_id: str) -> bool:
        """Whether the artifact's bytes are there."""
        return await self._blobs.exists(blob_key(workspace, artifact_id))

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


def blob_key(workspace: str, artifact_id: str) -> str:
    """Blobs are kept apart by workspace, and spread so that no folder grows huge."""
    return f"{workspace}/{artifact_id[:2]}/{artifact_id}"

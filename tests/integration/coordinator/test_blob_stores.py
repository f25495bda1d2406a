"""One suite for every kind of object store, and for what the service checks on the way in."""

from __future__ import annotations

import errno
import hashlib
from itertools import count
from typing import TYPE_CHECKING

import pytest
from obstore.store import MemoryStore

from nx_dte.coordinator.artifacts import (
    ArtifactService,
    ArtifactTooLargeError,
    DigestMismatchError,
    NoSpaceError,
    UploadCutError,
    open_blob_store,
)
from nx_dte.coordinator.artifacts.files import FileBlobStore
from nx_dte.coordinator.artifacts.objects import ObjectBlobStore
from nx_dte.errors import ConfigurationError
from tests.integration.coordinator.driver import digest, pieces

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from nx_dte.coordinator.artifacts import BlobStore

LIMIT = 3 * 1024 * 1024


@pytest.fixture(params=["files", "objects"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> BlobStore:
    return FileBlobStore(tmp_path / "objects") if request.param == "files" else ObjectBlobStore(MemoryStore())


@pytest.fixture
def service(blobs: BlobStore, tmp_path: Path) -> ArtifactService:
    names = count()
    made = ArtifactService(
        blobs=blobs,
        staging=tmp_path / "staging",
        max_bytes=LIMIT,
        new_name=lambda: str(next(names)),
        inspect=lambda _: None,
    )
    made.start()
    return made


def staged(tmp_path: Path) -> list[str]:
    return [path.name for path in (tmp_path / "staging").iterdir()]


async def receive(
    service: ArtifactService, *parts: bytes, announce: bytes | None = None, size: int | None = None
) -> str:
    whole = b"".join(parts) if announce is None else announce
    stored = await service.receive(
        workspace="w", digest=digest(whole), announced_size=size, body=pieces(*parts)
    )
    return stored.artifact_id


async def content(service: ArtifactService, artifact_id: str, workspace: str = "w") -> bytes | None:
    stream = await service.open(workspace=workspace, artifact_id=artifact_id)
    return None if stream is None else b"".join([chunk async for chunk in stream])


@pytest.mark.parametrize("parts", [[], [b"a"], [b"x" * 700_000] * 4, [b"y" * 2_500_000]])
async def test_what_goes_in_comes_out(service: ArtifactService, tmp_path: Path, parts: list[bytes]) -> None:
    artifact_id = await receive(service, *parts)

    assert artifact_id == hashlib.sha256(b"".join(parts)).hexdigest()
    assert await content(service, artifact_id) == b"".join(parts)
    assert staged(tmp_path) == []


async def test_the_same_bytes_again_change_nothing(service: ArtifactService, tmp_path: Path) -> None:
    first = await receive(service, b"same")
    second = await receive(service, b"sa", b"me")

    assert first == second
    assert await content(service, first) == b"same"
    assert staged(tmp_path) == []


async def test_workspaces_do_not_see_each_other(service: ArtifactService) -> None:
    artifact_id = await receive(service, b"mine")

    assert await content(service, artifact_id, workspace="other") is None
    assert await service.exists(workspace="w", artifact_id=artifact_id)


async def test_other_bytes_than_announced_are_not_published(service: ArtifactService, tmp_path: Path) -> None:
    with pytest.raises(DigestMismatchError):
        await receive(service, b"forged", announce=b"honest")

    assert not await service.exists(workspace="w", artifact_id=hashlib.sha256(b"honest").hexdigest())
    assert staged(tmp_path) == []


@pytest.mark.parametrize("header", [None, "", "sha256:", "md5:" + "0" * 64, "sha256:" + "G" * 64])
async def test_without_a_digest_nothing_is_taken(service: ArtifactService, header: str | None) -> None:
    with pytest.raises(DigestMismatchError):
        await service.receive(workspace="w", digest=header, announced_size=None, body=pieces(b"x"))


async def test_fewer_bytes_than_announced_are_not_published(service: ArtifactService, tmp_path: Path) -> None:
    with pytest.raises(UploadCutError):
        await receive(service, b"half", size=8)

    assert staged(tmp_path) == []


async def test_a_cut_connection_leaves_nothing(service: ArtifactService, tmp_path: Path) -> None:
    async def cut() -> AsyncIterator[bytes]:
        yield b"z" * 2_000_000
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await service.receive(workspace="w", digest=digest(b"z"), announced_size=None, body=cut())

    assert staged(tmp_path) == []


@pytest.mark.parametrize("size", [None, LIMIT + 1])
async def test_too_much_is_refused_announced_or_not(
    service: ArtifactService, tmp_path: Path, size: int | None
) -> None:
    with pytest.raises(ArtifactTooLargeError):
        await receive(service, b"x" * LIMIT, b"x", size=size)

    assert staged(tmp_path) == []


async def test_a_full_disk_says_so(
    service: ArtifactService, blobs: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def full(_staged: Path, _key: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(blobs, "publish", full)

    with pytest.raises(NoSpaceError):
        await receive(service, b"x")


def test_a_new_start_sweeps_what_an_old_one_left(service: ArtifactService, tmp_path: Path) -> None:
    (tmp_path / "staging" / "leftover").write_bytes(b"half an artifact")

    assert service.start() == 1
    assert staged(tmp_path) == []


async def test_a_usable_store_passes_its_check(service: ArtifactService) -> None:
    await service.check()


async def test_a_vanished_staging_folder_fails_the_check(service: ArtifactService, tmp_path: Path) -> None:
    (tmp_path / "staging").rmdir()

    with pytest.raises(FileNotFoundError):
        await service.check()


def test_urls_choose_the_store(tmp_path: Path) -> None:
    assert isinstance(open_blob_store(None, tmp_path / "a"), FileBlobStore)
    assert isinstance(open_blob_store(f"file://{tmp_path}/b", tmp_path), FileBlobStore)
    assert isinstance(open_blob_store("memory:///", tmp_path), ObjectBlobStore)
    with pytest.raises(ConfigurationError, match="ftp"):
        open_blob_store("ftp://host/x", tmp_path)

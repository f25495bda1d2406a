"""One suite for every kind of object store, and for what the service checks on the way in."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import time
from itertools import count
from pathlib import Path
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
    """The key under which it was published."""
    whole = b"".join(parts) if announce is None else announce
    async with service.received(digest=digest(whole), announced_size=size, body=pieces(*parts)) as upload:
        key = service.new_key(workspace="w", artifact_id=upload.digest)
        await service.publish(upload, key)
    return key


async def content(service: ArtifactService, key: str) -> bytes | None:
    stream = await service.open(key)
    return None if stream is None else b"".join([chunk async for chunk in stream])


@pytest.mark.parametrize("parts", [[], [b"a"], [b"x" * 700_000] * 4, [b"y" * 2_500_000]])
async def test_what_goes_in_comes_out(service: ArtifactService, tmp_path: Path, parts: list[bytes]) -> None:
    key = await receive(service, *parts)

    assert hashlib.sha256(b"".join(parts)).hexdigest() in key
    assert await content(service, key) == b"".join(parts)
    assert staged(tmp_path) == []


async def test_the_same_bytes_again_are_another_blob(service: ArtifactService, tmp_path: Path) -> None:
    first = await receive(service, b"same")
    second = await receive(service, b"sa", b"me")
    await service.remove(first)

    assert first != second
    assert not await service.exists(first)
    assert await content(service, first) is None
    assert await content(service, second) == b"same"
    assert staged(tmp_path) == []


async def test_removing_what_is_gone_changes_nothing(service: ArtifactService) -> None:
    key = await receive(service, b"once")

    await service.remove(key)
    await service.remove(key)
    await service.remove("never/was/there")

    assert not await service.exists(key)


async def test_a_reader_reads_to_the_end_what_is_removed_meanwhile(service: ArtifactService) -> None:
    data = b"0123456789" * 250_000
    key = await receive(service, data)
    stream = await service.open(key)
    assert stream is not None

    got = [await anext(stream)]
    await service.remove(key)
    got += [chunk async for chunk in stream]

    assert b"".join(got) == data


@pytest.mark.parametrize("workspace", ["..", ".", "a/../../b", "/etc", ".incoming", "\u00fcber\\alles"])
async def test_no_workspace_leaves_the_store(
    service: ArtifactService, tmp_path: Path, workspace: str
) -> None:
    key = service.new_key(workspace=workspace, artifact_id="0" * 64)

    async with service.received(digest=digest(b"x"), announced_size=None, body=pieces(b"x")) as upload:
        await service.publish(upload, key)

    assert await content(service, key) == b"x"
    assert {path.name for path in await asyncio.to_thread(lambda: list(tmp_path.iterdir()))} <= {
        "objects",
        "staging",
    }
    assert not any(part.startswith(".") for part in key.split("/"))
    assert len(key.split("/")) == 3


async def test_other_bytes_than_announced_are_not_published(service: ArtifactService, tmp_path: Path) -> None:
    with pytest.raises(DigestMismatchError):
        await receive(service, b"forged", announce=b"honest")

    assert list((tmp_path / "objects").rglob("*")) == []
    assert staged(tmp_path) == []


@pytest.mark.parametrize("header", [None, "", "sha256:", "md5:" + "0" * 64, "sha256:" + "G" * 64])
async def test_without_a_digest_nothing_is_taken(service: ArtifactService, header: str | None) -> None:
    with pytest.raises(DigestMismatchError):
        async with service.received(digest=header, announced_size=None, body=pieces(b"x")):
            pass


async def test_fewer_bytes_than_announced_are_not_published(service: ArtifactService, tmp_path: Path) -> None:
    with pytest.raises(UploadCutError):
        await receive(service, b"half", size=8)

    assert staged(tmp_path) == []


async def test_a_cut_connection_leaves_nothing(service: ArtifactService, tmp_path: Path) -> None:
    async def cut() -> AsyncIterator[bytes]:
        yield b"z" * 2_000_000
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        async with service.received(digest=digest(b"z"), announced_size=None, body=cut()):
            pass

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


@pytest.mark.parametrize("is_far", [False, True], ids=["same file system", "another file system"])
def test_nothing_is_readable_that_a_power_cut_could_take_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_far: bool
) -> None:
    """The bytes reach the disk before the name, the name before the answer; the folders on the way to it, too."""
    blobs = FileBlobStore(tmp_path / "objects")
    upload = tmp_path / "staged"
    upload.write_bytes(b"precious")
    done: list[str] = []
    sync, rename = os.fsync, Path.replace

    def noted_sync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        done.append(f"sync {path.relative_to(tmp_path)}")
        sync(descriptor)

    def noted_rename(self: Path, target: Path) -> Path:
        if is_far and self == upload:
            raise OSError(errno.EXDEV, "another file system")
        done.append(f"name {target.relative_to(tmp_path)}")
        return rename(self, target)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(Path, "replace", noted_rename)
    blobs.publish_now(upload, "w/ab/key")

    named = done.index("name objects/w/ab/key")
    assert f"sync {'objects/.incoming/staged' if is_far else 'staged'}" in done[:named]
    assert {"sync objects/w/ab", "sync objects/w", "sync objects"} <= set(done[named:])


@pytest.mark.parametrize("number", [errno.EXDEV, errno.ENOSPC])
def test_from_another_file_system_bytes_are_copied_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    blobs = FileBlobStore(tmp_path / "objects")
    upload = tmp_path / "staged"
    upload.write_bytes(b"from far away")
    rename = Path.replace

    def across(self: Path, target: Path) -> Path:
        if self == upload or number == errno.ENOSPC:
            raise OSError(number if self != upload else errno.EXDEV, "no")
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", across)

    if number == errno.ENOSPC:
        with pytest.raises(OSError, match="no"):
            blobs.publish_now(upload, "w/ab/key")
    else:
        blobs.publish_now(upload, "w/ab/key")

    found = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    expected = {"objects/w/ab/key", "staged"} if number == errno.EXDEV else {"staged"}
    assert found == expected


def test_copies_that_a_crash_cut_short_are_swept_when_they_are_old(tmp_path: Path) -> None:
    incoming = tmp_path / "objects" / ".incoming"
    incoming.mkdir(parents=True)
    for name, age_s in (("old", 90_000), ("of-another-coordinator", 60)):
        (incoming / name).write_bytes(b"half")
        os.utime(incoming / name, (time.time() - age_s,) * 2)

    FileBlobStore(tmp_path / "objects")

    assert [path.name for path in incoming.iterdir()] == ["of-another-coordinator"]


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

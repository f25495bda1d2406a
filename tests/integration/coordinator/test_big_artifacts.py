"""Artifacts of a gibibyte stream through: the coordinator's memory does not grow with them."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import tarfile
import zlib
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx2
import pytest

from tests.integration.coordinator.driver import READ_WRITE
from tests.support.archives import archive_of, entry
from tests.support.coordinator_process import coordinator_process

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.coordinator_process import CoordinatorProcess

GIB = 1024**3
MIB = 1024**2
BLOCK = os.urandom(MIB)
AUTHORIZED = {"authorization": READ_WRITE}
pytestmark = pytest.mark.slow


def big_archive(size: int) -> Iterator[bytes]:
    """A sound artifact with one file of `size` bytes, stored rather than compressed, made on the fly."""
    packer = zlib.compressobj(level=0, wbits=16 + zlib.MAX_WBITS)
    head = io.BytesIO()
    with tarfile.open(fileobj=head, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, content in (entry("terminal-output"), entry("code", b"0")):
            archive.addfile(info, io.BytesIO(content))
        info, _ = entry("outputs/dist/big")
        info.size = size
        header = info.tobuf(tarfile.PAX_FORMAT)
    entries = head.getvalue()[: 512 * 3]  # without the end of the archive: header, header and content
    yield packer.compress(entries + header)
    for _ in range(size // MIB):
        yield packer.compress(BLOCK)
    yield packer.compress(b"\0" * 1024) + packer.flush()


def measured(chunks: Iterator[bytes]) -> tuple[str, int]:
    hashed, size = hashlib.sha256(), 0
    for chunk in chunks:
        hashed.update(chunk)
        size += len(chunk)
    return hashed.hexdigest(), size


@pytest.fixture
def served(tmp_path: Path) -> Iterator[CoordinatorProcess]:
    with coordinator_process(
        tmp_path / "data", log=tmp_path / "log", NX_DTE_READ_WRITE_TOKEN=READ_WRITE
    ) as running:
        yield running


@pytest.mark.timeout(120)
def test_a_gibibyte_streams_in_and_out(served: CoordinatorProcess, tmp_path: Path) -> None:
    digest, size = measured(big_archive(GIB))
    headers = {**AUTHORIZED, "nx-dte-digest": f"sha256:{digest}", "content-length": str(size)}
    with httpx2.Client(base_url=served.url, timeout=60, headers=AUTHORIZED) as client:
        small = archive_of(b"warms everything up")
        warm = {**AUTHORIZED, "nx-dte-digest": f"sha256:{hashlib.sha256(small).hexdigest()}"}
        client.put("/api/v1/cache/small", content=small, headers=warm).raise_for_status()
        served.forget_peak()
        before = served.peak_bytes()

        stored = client.put("/api/v1/cache/big", content=big_archive(GIB), headers=headers)
        uploaded = served.peak_bytes()
        served.forget_peak()
        with client.stream("GET", f"/api/v1/artifacts/{digest}") as download:
            got = measured(download.iter_raw())
        downloaded = served.peak_bytes()

    assert stored.json() == {"stored": True, "scope": "shared"}
    assert size > GIB
    assert got == (digest, size)
    assert max(uploaded, downloaded) - before < 64 * MIB
    assert list((tmp_path / "data" / "artifacts" / "staging").iterdir()) == []


def test_what_says_that_it_is_too_large_is_refused_before_it_is_sent(tmp_path: Path) -> None:
    with coordinator_process(
        tmp_path / "data",
        log=tmp_path / "log",
        NX_DTE_READ_WRITE_TOKEN=READ_WRITE,
        NX_DTE_ARTIFACT_MAX_BYTES=str(MIB),
    ) as served:
        address = urlsplit(served.url)
        assert address.hostname is not None
        assert address.port is not None
        head = (
            f"PUT /api/v1/cache/h HTTP/1.1\r\nhost: {address.netloc}\r\nauthorization: {READ_WRITE}\r\n"
            f"nx-dte-digest: sha256:{'0' * 64}\r\ncontent-length: {MIB + 1}\r\n\r\n"
        )
        with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
            connection.sendall(head.encode())
            answer = b""
            while b"artifact_too_large" not in answer:  # not a byte of the body was sent
                part = connection.recv(65536)
                assert part, answer
                answer += part

        assert answer.startswith(b"HTTP/1.1 413 ")
        # A client that sends on without looking gets to read its answer as well, instead of a broken connection.
        for content in (b"x" * (8 * MIB), iter([BLOCK] * 8)):
            response = httpx2.put(
                f"{served.url}/api/v1/cache/h",
                content=content,
                headers={**AUTHORIZED, "nx-dte-digest": f"sha256:{'0' * 64}"},
                timeout=30,
            )
            assert response.status_code == 413
            assert response.json()["error"]["code"] == "artifact_too_large"
        assert list((tmp_path / "data" / "artifacts" / "staging").iterdir()) == []
        assert list((tmp_path / "data" / "artifacts" / "objects").rglob("*")) == []

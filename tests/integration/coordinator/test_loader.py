"""What Nx's loader gets, without a token."""

from __future__ import annotations

import gzip
import io
import tarfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.integration.coordinator.conftest import Running


async def test_a_loader_without_a_bundle_is_sent_to_ours(coordinator: Running) -> None:
    answer = (await coordinator.http.get("/nx-cloud/client/verify")).json()

    assert answer["valid"] is False
    assert answer["url"] == f"http://coordinator.test/nx-cloud/client/bundle/{answer['version']}.tar.gz"


async def test_the_bundle_is_a_plain_flat_ustar_with_an_index(coordinator: Running) -> None:
    answer = (await coordinator.http.get("/nx-cloud/client/verify")).json()
    packed = (await coordinator.http.get(answer["url"])).content

    raw = gzip.decompress(packed)
    with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
        members = archive.getmembers()
    assert raw[257:265] == b"ustar\x0000"
    assert "index.js" in [member.name for member in members]
    assert all(member.isreg() and "/" not in member.name for member in members)


async def test_a_current_bundle_is_valid_and_a_changed_one_is_not(coordinator: Running) -> None:
    bundle = coordinator.services.bundle
    current = {"version": bundle.version, "contentHash": bundle.content_hash}

    valid = await coordinator.http.get("/nx-cloud/client/verify", params=current)
    tampered = await coordinator.http.get(
        "/nx-cloud/client/verify", params={**current, "contentHash": "0" * 64}
    )

    assert valid.json() == {"valid": True}
    assert tampered.json()["valid"] is False


async def test_an_old_bundle_is_gone_with_a_hint(coordinator: Running) -> None:
    response = await coordinator.http.get("/nx-cloud/client/bundle/old.tar.gz")

    assert response.status_code == 404
    assert "verify" in response.json()["error"]["message"]


async def test_the_url_follows_the_address_that_a_proxy_was_asked_for(coordinator: Running) -> None:
    answer = await coordinator.http.get("/nx-cloud/client/verify", headers={"host": "dte.example.test:8443"})

    assert answer.json()["url"].startswith("http://dte.example.test:8443/nx-cloud/")

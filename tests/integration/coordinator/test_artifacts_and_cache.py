"""Artifacts and cache over HTTP."""

from __future__ import annotations

import gzip
import hashlib
import os
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.coordinator.driver import digest, pieces, task
from tests.support.archives import archive_of, entry, link

if TYPE_CHECKING:
    from tests.integration.coordinator.conftest import Running
    from tests.integration.coordinator.driver import Driver

DATA = archive_of(os.urandom(1_900_000))
SIZE = len(archive_of(b"what it printed"))
ARTIFACT_ID = hashlib.sha256(DATA).hexdigest()


async def a_lease(driver: Driver) -> tuple[str, str, dict[str, Any]]:
    run_id = (await driver.open_run())["ci_run_id"]
    agent_id = await driver.join()
    await driver.submit(run_id, [task("a:build")])
    return run_id, agent_id, (await driver.claim(agent_id))["leases"][0]


async def put(driver: Driver, path: str, data: bytes, header: str | None = None, **other: Any) -> Any:
    headers = {"nx-dte-digest": header or digest(data), **other}
    return await driver.ask("PUT", path, content=pieces(data[:7], data[7:]), headers=headers)


async def found(driver: Driver, task_hash: str, ci_run_id: str | None = None) -> Any:
    answer = await driver.ask(
        "POST", "/api/v1/cache/lookup", json={"hashes": [task_hash], "ci_run_id": ci_run_id}
    )
    return answer["entries"].get(task_hash)


async def test_an_upload_can_be_downloaded_with_its_digest(driver: Driver) -> None:
    _, _, lease = await a_lease(driver)

    answer = await put(driver, f"/api/v1/leases/{lease['lease_id']}/artifact", DATA)
    response = await driver.send("GET", f"/api/v1/artifacts/{ARTIFACT_ID}")

    assert answer == {"artifact_id": ARTIFACT_ID, "size": len(DATA)}
    assert response.content == DATA
    assert response.headers["content-length"] == str(len(DATA))
    assert response.headers["nx-dte-digest"] == f"sha256:{ARTIFACT_ID}"


async def test_an_upload_with_another_digest_leaves_nothing(coordinator: Running) -> None:
    driver = coordinator.driver
    _, _, lease = await a_lease(driver)

    refused = await driver.refused(
        "PUT",
        f"/api/v1/leases/{lease['lease_id']}/artifact",
        content=DATA,
        headers={"nx-dte-digest": digest(b"other")},
    )

    assert refused == (400, "digest_mismatch")
    assert list((coordinator.data_dir / "artifacts" / "staging").iterdir()) == []
    assert list((coordinator.data_dir / "artifacts" / "objects").rglob("*")) == []


async def test_an_upload_over_the_limit_is_refused(start: Any) -> None:
    async with start(artifact_max_bytes=1000) as coordinator:
        driver = coordinator.driver
        _, _, lease = await a_lease(driver)
        path = f"/api/v1/leases/{lease['lease_id']}/artifact"
        headers = {"nx-dte-digest": digest(DATA)}

        announced = await driver.refused("PUT", path, content=DATA, headers=headers)
        streamed = await driver.refused("PUT", path, content=pieces(DATA), headers=headers)

        assert announced == streamed == (413, "artifact_too_large")


async def test_an_upload_for_a_lease_that_is_not_live_is_refused(driver: Driver) -> None:
    _, agent_id, lease = await a_lease(driver)
    await driver.ask("POST", f"/api/v1/agents/{agent_id}/leave", json={"reason": ""})

    refused = await driver.refused(
        "PUT",
        f"/api/v1/leases/{lease['lease_id']}/artifact",
        content=b"x",
        headers={"nx-dte-digest": digest(b"x")},
    )

    assert refused == (409, "lease_not_live")


async def test_an_accepted_report_fills_the_shared_cache(driver: Driver) -> None:
    run_id, agent_id, lease = await a_lease(driver)
    artifact_id = await driver.upload(lease["lease_id"])
    await driver.report(agent_id, lease, artifact_id=artifact_id)

    assert await found(driver, lease["hash"]) == {"artifact_id": artifact_id, "size": SIZE, "scope": "shared"}
    assert await found(driver, lease["hash"], run_id) is not None
    assert await found(driver, "unknown") is None


async def test_a_read_only_run_fills_only_its_own_cache(coordinator: Running) -> None:
    driver = coordinator.read_only
    run_id, agent_id, lease = await a_lease(driver)
    artifact_id = await driver.upload(lease["lease_id"])
    await driver.report(agent_id, lease, artifact_id=artifact_id)

    assert (await found(driver, lease["hash"], run_id))["scope"] == "run"
    assert await found(driver, lease["hash"]) is None
    assert await found(coordinator.driver, lease["hash"]) is None


async def test_cache_entries_are_written_once(driver: Driver) -> None:
    first = await put(driver, "/api/v1/cache/h1", archive_of(b"the first"))
    second = await put(driver, "/api/v1/cache/h1", archive_of(b"another one"))

    assert first == {"stored": True, "scope": "shared"}
    assert second == {"stored": False, "scope": "shared"}
    assert (await found(driver, "h1"))["artifact_id"] == hashlib.sha256(archive_of(b"the first")).hexdigest()


async def test_a_read_only_token_stores_within_its_run_only(coordinator: Running) -> None:
    driver = coordinator.read_only
    run_id = (await driver.open_run())["ci_run_id"]

    headers = {"nx-dte-digest": digest(b"x")}
    refused = await driver.refused("PUT", "/api/v1/cache/h2", content=b"x", headers=headers)
    stored = await put(driver, "/api/v1/cache/h2", archive_of(b"poison"), **{"nx-dte-ci-run": run_id})

    assert refused == (403, "token_read_only")
    assert stored == {"stored": True, "scope": "run"}
    assert await found(coordinator.driver, "h2") is None


async def test_a_trusted_entry_hides_an_untrusted_one(coordinator: Running) -> None:
    untrusted = coordinator.read_only
    run_id = (await untrusted.open_run())["ci_run_id"]
    await put(untrusted, "/api/v1/cache/h3", archive_of(b"poison"), **{"nx-dte-ci-run": run_id})

    await put(coordinator.driver, "/api/v1/cache/h3", archive_of(b"honest"))

    assert (await found(untrusted, "h3", run_id))["scope"] == "shared"


async def test_main_can_upload_its_own_hits_for_agents(driver: Driver) -> None:
    run_id = (await driver.open_run())["ci_run_id"]
    uploaded = await put(driver, f"/api/v1/ci-runs/{run_id}/artifacts", archive_of(b"a local hit"))
    hit = {"nx_status": "local-cache", "artifact_id": uploaded["artifact_id"]}

    await driver.submit(run_id, [task("a:build", hit=hit), task("b:build", dependencies=["a:build"])])

    tasks = await driver.tasks(run_id)
    assert (tasks["a:build"]["outcome"], tasks["b:build"]["state"]) == ("cached", "ready")
    assert tasks["a:build"]["artifact"]["artifact_id"] == uploaded["artifact_id"]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"no archive at all", id="garbage"),
        pytest.param(archive_of(b"cut off")[:-20], id="cut off"),
        pytest.param(gzip.compress(b""), id="empty"),
        *(
            pytest.param(archive_of(entries=[item]), id=name)
            for name, item in {
                "parent": entry("outputs/../../etc/cron.d/x"),
                "absolute": entry("/etc/cron.d/x"),
                "absolute below outputs": entry("outputs//etc/x"),
                "elsewhere": entry("other/x"),
                "git hook": entry("outputs/.git/hooks/post-checkout"),
                "link out": link("outputs/dist/x", "../../../etc"),
                "absolute link": link("outputs/dist/x", "/etc/passwd"),
                "link out behind a false root": link(
                    "outputs/x", "/etc/passwd", pax_headers={"NX-DTE.root": "/etc/../builds"}
                ),
                "hard link": entry("outputs/x", type=tarfile.LNKTYPE, linkname="/etc/passwd"),
                "device": entry("outputs/x", type=tarfile.CHRTYPE),
            }.items()
        ),
    ],
)
async def test_what_could_leave_the_workspace_is_never_published(coordinator: Running, data: bytes) -> None:
    driver = coordinator.driver
    _, agent_id, lease = await a_lease(driver)
    path = f"/api/v1/leases/{lease['lease_id']}/artifact"

    refused = await driver.refused("PUT", path, content=data, headers={"nx-dte-digest": digest(data)})

    assert refused == (400, "unsafe_archive")
    assert list((coordinator.data_dir / "artifacts" / "staging").iterdir()) == []
    assert list((coordinator.data_dir / "artifacts" / "objects").rglob("*")) == []
    result = await driver.report(agent_id, lease, artifact_id=hashlib.sha256(data).hexdigest())
    assert (result["accepted"], result["reason"]) == (False, "artifact_missing")


async def test_links_that_stay_inside_are_welcome(driver: Driver) -> None:
    _, _, lease = await a_lease(driver)
    inside = {"NX-DTE.root": "/builds/shop"}
    data = archive_of(
        entries=[
            entry("outputs/dist/x", b"x"),
            link("outputs/dist/near", "x"),
            link("outputs/dist/deep/up", "../../coverage"),
            link("outputs/dist/absolute", "/builds/shop/dist/x", pax_headers=inside),
        ]
    )

    answer = await put(driver, f"/api/v1/leases/{lease['lease_id']}/artifact", data)

    assert answer["size"] == len(data)


async def test_a_malformed_artifact_id_reaches_no_file(driver: Driver) -> None:
    for path in ("..%2f..%2fetc%2fpasswd", "%2e%2e", "A" * 64, "0" * 63):
        response = await driver.send("GET", f"/api/v1/artifacts/{path}")
        assert response.status_code in {404, 422}

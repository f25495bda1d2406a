"""Artifacts and cache over HTTP."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from tests.integration.coordinator.driver import digest, pieces, task

if TYPE_CHECKING:
    from tests.integration.coordinator.conftest import Running
    from tests.integration.coordinator.driver import Driver

DATA = b"bytes of an archive" * 100_000
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

    assert await found(driver, lease["hash"]) == {"artifact_id": artifact_id, "size": 10, "scope": "shared"}
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
    first = await put(driver, "/api/v1/cache/h1", b"the first")
    second = await put(driver, "/api/v1/cache/h1", b"another one")

    assert first == {"stored": True, "scope": "shared"}
    assert second == {"stored": False, "scope": "shared"}
    assert (await found(driver, "h1"))["artifact_id"] == hashlib.sha256(b"the first").hexdigest()


async def test_a_read_only_token_stores_within_its_run_only(coordinator: Running) -> None:
    driver = coordinator.read_only
    run_id = (await driver.open_run())["ci_run_id"]

    headers = {"nx-dte-digest": digest(b"x")}
    refused = await driver.refused("PUT", "/api/v1/cache/h2", content=b"x", headers=headers)
    stored = await put(driver, "/api/v1/cache/h2", b"poison", **{"nx-dte-ci-run": run_id})

    assert refused == (403, "token_read_only")
    assert stored == {"stored": True, "scope": "run"}
    assert await found(coordinator.driver, "h2") is None


async def test_a_trusted_entry_hides_an_untrusted_one(coordinator: Running) -> None:
    untrusted = coordinator.read_only
    run_id = (await untrusted.open_run())["ci_run_id"]
    await put(untrusted, "/api/v1/cache/h3", b"poison", **{"nx-dte-ci-run": run_id})

    await put(coordinator.driver, "/api/v1/cache/h3", b"honest")

    assert (await found(untrusted, "h3", run_id))["scope"] == "shared"


async def test_main_can_upload_its_own_hits_for_agents(driver: Driver) -> None:
    run_id = (await driver.open_run())["ci_run_id"]
    uploaded = await put(driver, f"/api/v1/ci-runs/{run_id}/artifacts", b"a local hit")
    hit = {"nx_status": "local-cache", "artifact_id": uploaded["artifact_id"]}

    await driver.submit(run_id, [task("a:build", hit=hit), task("b:build", dependencies=["a:build"])])

    tasks = await driver.tasks(run_id)
    assert (tasks["a:build"]["outcome"], tasks["b:build"]["state"]) == ("cached", "ready")
    assert tasks["a:build"]["artifact"]["artifact_id"] == uploaded["artifact_id"]


async def test_a_malformed_artifact_id_reaches_no_file(driver: Driver) -> None:
    for path in ("..%2f..%2fetc%2fpasswd", "%2e%2e", "A" * 64, "0" * 63):
        response = await driver.send("GET", f"/api/v1/artifacts/{path}")
        assert response.status_code in {404, 422}

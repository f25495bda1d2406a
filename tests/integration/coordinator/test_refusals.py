"""Bad requests get a clear answer, and change nothing."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.coordinator.driver import Driver, task

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from tests.integration.coordinator.conftest import Running

RUNS = "/api/v1/ci-runs"


@pytest.mark.parametrize(
    ("authorization", "code"),
    [("", "token_missing"), ("Bearer ", "token_missing"), ("no-such-token-at-all", "token_unknown")],
)
async def test_without_a_known_token_nothing_is_told(
    coordinator: Running, authorization: str, code: str
) -> None:
    client = Driver(http=coordinator.http, token=authorization)

    assert await client.refused("GET", f"{RUNS}?ci_id=1") == (401, code)
    assert await client.refused("GET", f"{RUNS}/nonsense/tasks") == (401, code)


async def test_a_bearer_token_counts_as_well(driver: Driver) -> None:
    bearer = Driver(http=driver.http, token=f"Bearer {driver.token}")

    assert await bearer.ask("GET", f"{RUNS}?ci_id=1") == {"ci_run": None}


@pytest.mark.parametrize(
    "body", [b"", b"{", b"\xff\xfe", b"not json"], ids=["empty", "cut", "binary", "text"]
)
async def test_garbage_is_malformed(driver: Driver, body: bytes) -> None:
    status, code = await driver.refused("POST", RUNS, content=body)

    assert (status, code) in {(400, "malformed"), (422, "invalid_fields")}


async def test_deeply_nested_json_is_no_crash(driver: Driver) -> None:
    status, _ = await driver.refused("POST", RUNS, content=b"[" * 100_000)

    assert status == 400


@pytest.mark.parametrize("body", [{}, {"ci_id": "1"}, {"ci_id": 7, "job_id": "1"}, [], "text", None])
async def test_wrong_fields_are_named(driver: Driver, body: Any) -> None:
    assert await driver.refused("POST", RUNS, json=body) == (422, "invalid_fields")


async def test_a_gzip_body_is_unpacked(driver: Driver) -> None:
    body = gzip.compress(b'{"ci_id": "5", "job_id": "1"}')

    run = await driver.ask("POST", RUNS, content=body, headers={"content-encoding": "gzip"})

    assert run["ci_id"] == "5"


@pytest.mark.parametrize(
    ("body", "encoding"),
    [(b"no gzip", "gzip"), (gzip.compress(b"{}")[:-9], "gzip"), (b"{}", "br")],
    ids=["no gzip", "cut gzip", "unknown"],
)
async def test_a_body_that_cannot_be_unpacked_is_malformed(
    driver: Driver, body: bytes, encoding: str
) -> None:
    answer = await driver.refused("POST", RUNS, content=body, headers={"content-encoding": encoding})

    assert answer == (400, "malformed")


async def test_large_bodies_are_refused_packed_or_not(
    start: Callable[..., AbstractAsyncContextManager[Running]],
) -> None:
    async with start(request_max_bytes=64 * 1024) as small:
        driver = small.driver
        bomb = gzip.compress(b" " * 50_000_000)
        assert len(bomb) < 64 * 1024

        assert await driver.refused("POST", RUNS, content=b" " * 70_000) == (413, "request_too_large")
        packed = await driver.refused("POST", RUNS, content=bomb, headers={"content-encoding": "gzip"})
        assert packed == (413, "request_too_large")


@pytest.mark.parametrize(
    ("version", "side"), [("0", "the light client"), ("2", "the coordinator"), ("x", "the coordinator")]
)
async def test_another_protocol_version_is_told_which_side_to_update(
    driver: Driver, version: str, side: str
) -> None:
    response = await driver.send("GET", f"{RUNS}?ci_id=1", headers={"nx-dte-protocol": version})

    assert response.status_code == 426
    assert f"update {side}" in response.json()["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", f"{RUNS}/none"),
        ("GET", f"{RUNS}/none/tasks"),
        ("GET", f"{RUNS}/none/events"),
        ("GET", "/api/v1/invocations/none/payload"),
        ("GET", "/api/v1/invocations/none/tasks/a:b/story"),
        ("GET", f"/api/v1/artifacts/{'0' * 64}"),
        ("POST", f"{RUNS}/none/ping"),
        ("POST", f"{RUNS}/none/complete"),
        ("POST", "/api/v1/agents/none/claim"),
        ("POST", "/api/v1/agents/none/heartbeat"),
        ("POST", "/api/v1/agents/none/leave"),
        ("POST", "/api/v1/invocations/none/cancel"),
    ],
)
async def test_unknown_ids_are_not_found(driver: Driver, method: str, path: str) -> None:
    body: dict[str, Any] = {"json": {}} if method == "POST" else {}

    assert await driver.refused(method, path, **body) == (404, "not_found")


async def test_a_wrong_method_is_answered_in_our_shape(driver: Driver) -> None:
    assert await driver.refused("DELETE", RUNS) == (405, "method_not_allowed")


@pytest.mark.parametrize(
    ("tasks", "code"),
    [
        ([task("a:build"), task("a:build")], "duplicate_task"),
        ([task("a:build", dependencies=["b:build"])], "unknown_dependency"),
        (
            [task("a:build", dependencies=["b:build"]), task("b:build", dependencies=["a:build"])],
            "dependency_cycle",
        ),
        (
            [task("a:build", dependencies=["b:build"], hit={"nx_status": "local-cache"}), task("b:build")],
            "unfounded_hit",
        ),
        ([task("a:build", hit={"nx_status": "x", "artifact_id": "0" * 64})], "hit_artifact_missing"),
    ],
)
async def test_a_contradictory_submission_changes_nothing(
    driver: Driver, tasks: list[dict[str, Any]], code: str
) -> None:
    run = await driver.open_run()
    path = f"{RUNS}/{run['ci_run_id']}/invocations"

    assert await driver.refused("POST", path, json=driver.submission(tasks)) == (400, code)

    assert (await driver.run(run["ci_run_id"]))["invocations"] == []
    assert await driver.tasks(run["ci_run_id"]) == {}


async def test_an_unknown_address_is_named(driver: Driver) -> None:
    response = await driver.send("GET", "/api/v1/nowhere")

    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (404, "no_such_address")
    assert error["message"] == "this coordinator has nothing at GET /api/v1/nowhere"
    assert "NX_CLOUD_API" in error["next"]

"""Tokens open their own workspace, and nothing else."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from nx_dte.coordinator import administration
from nx_dte.errors import ConfigurationError
from nx_dte.settings import CoordinatorSettings
from tests.integration.coordinator.driver import Driver, digest, task

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.coordinator.conftest import Running


async def other_workspace(coordinator: Running) -> Driver:
    import asyncio

    settings = coordinator.services.settings
    made = await asyncio.to_thread(
        administration.token_create,
        settings,
        workspace="other",
        access="read-write",
        expires_in=timedelta(days=1),
    )
    return Driver(http=coordinator.http, token=made.secret)


async def test_another_workspace_sees_nothing_of_ours(coordinator: Running) -> None:
    ours, theirs = coordinator.driver, await other_workspace(coordinator)
    run_id = (await ours.open_run())["ci_run_id"]
    agent_id = await ours.join()
    invocation_id = await ours.submit(run_id, [task("a:build"), task("b:build")])
    leases = (await ours.claim(agent_id))["leases"]
    artifact_id = await ours.upload(leases[0]["lease_id"])
    await ours.report(agent_id, leases[0], artifact_id=artifact_id)

    for method, path in [
        ("GET", f"/api/v1/ci-runs/{run_id}"),
        ("GET", f"/api/v1/ci-runs/{run_id}/events"),
        ("GET", f"/api/v1/ci-runs/{run_id}/tasks"),
        ("GET", f"/api/v1/invocations/{invocation_id}/payload"),
        ("GET", f"/api/v1/invocations/{invocation_id}/tasks/a:build/story"),
        ("GET", f"/api/v1/artifacts/{artifact_id}"),
    ]:
        assert await theirs.refused(method, path) == (404, "not_found")
    for path in [
        f"/api/v1/ci-runs/{run_id}/ping",
        f"/api/v1/ci-runs/{run_id}/complete",
        f"/api/v1/invocations/{invocation_id}/cancel",
        f"/api/v1/agents/{agent_id}/claim",
        f"/api/v1/agents/{agent_id}/heartbeat",
        f"/api/v1/agents/{agent_id}/leave",
    ]:
        assert await theirs.refused("POST", path, json={}) == (404, "not_found")
    body = {"reports": [theirs.a_report(leases[1])]}
    assert await theirs.refused("POST", f"/api/v1/agents/{agent_id}/reports", json=body) == (404, "not_found")
    headers = {"nx-dte-digest": digest(b"x")}
    upload = f"/api/v1/leases/{leases[1]['lease_id']}/artifact"
    assert await theirs.refused("PUT", upload, content=b"x", headers=headers) == (404, "not_found")
    entries = await theirs.ask("POST", "/api/v1/cache/lookup", json={"hashes": [leases[0]["hash"]]})
    assert entries == {"entries": {}}
    assert (await theirs.ask_to_join())["decision"] == "wait"
    assert (await theirs.open_run())["ci_run_id"] != run_id


def test_tokens_can_be_made_listed_and_revoked_beside_no_coordinator(
    tmp_path: Path, database_url: str
) -> None:
    settings = CoordinatorSettings.load(data_dir=tmp_path / "data", database_url=database_url)

    made = administration.token_create(settings, workspace="team", access="read-only", expires_in=None)
    administration.token_revoke(settings, token_id=made.token_id)
    listed = administration.token_list(settings)

    assert [(token.workspace, token.access, token.revoked_at is None) for token in listed] == [
        ("team", "read-only", False)
    ]
    assert made.secret not in repr(listed)
    with pytest.raises(ConfigurationError, match="no token nonsense"):
        administration.token_revoke(settings, token_id="nonsense")

"""A restart loses nothing, and nobody is blamed for the coordinator's own absence."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from nx_dte.coordinator import app
from nx_dte.coordinator.store.sql.reads import SqlReads
from nx_dte.errors import ConfigurationError
from tests.integration.coordinator.driver import task
from tests.support.archives import archive_of

CHAIN = [
    task("a:build"),
    task("b:build", dependencies=["a:build"]),
    task("c:build", dependencies=["b:build"]),
]


async def test_a_run_goes_on_where_it_was(start: Any) -> None:
    async with start() as first:
        driver = first.driver
        run_id = (await driver.open_run())["ci_run_id"]
        agent_id = await driver.join()
        invocation_id = await driver.submit(run_id, CHAIN, payload="kept")
        lease = (await driver.claim(agent_id))["leases"][0]
        artifact_id = await driver.upload(lease["lease_id"])
        before = await driver.events(run_id, limit=1000)

    async with start() as second:
        driver = second.driver
        assert (await driver.events(run_id, limit=1000))["events"] == before["events"]
        assert (await driver.report(agent_id, lease, artifact_id=artifact_id))["accepted"]
        assert await driver.work_off(agent_id) == ["b:build", "c:build"]
        payload = await driver.send("GET", f"/api/v1/invocations/{invocation_id}/payload")
        assert payload.text == "kept"
        data = await driver.send("GET", f"/api/v1/artifacts/{artifact_id}")
        assert data.content == archive_of(b"what it printed")


async def test_deadlines_that_passed_while_it_was_away_begin_anew(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        SqlReads, "server_time", lambda _self: None
    )  # the test has the clock, on any database
    async with start() as first:
        run_id = (await first.driver.open_run())["ci_run_id"]
        agent_id = await first.driver.join()
        await first.driver.submit(run_id, CHAIN)
        lease = (await first.driver.claim(agent_id))["leases"][0]
    monkeypatch.setattr(
        app, "now", lambda: datetime.now(UTC) + timedelta(hours=1)
    )  # longer than every deadline

    async with start() as second:
        driver = second.driver
        for _ in range(3):
            await second.services.engine.reaper.look()
        assert (await driver.run(run_id))["state"] == "open"
        assert (await driver.report(agent_id, lease))["accepted"]


async def test_two_coordinators_do_not_share_a_data_folder(start: Any) -> None:
    async with start():
        with pytest.raises(ConfigurationError, match="another coordinator uses the data folder"):
            async with start():
                pass

"""What is deleted in time and to make room, and what never is."""

from __future__ import annotations

import asyncio
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from nx_dte.model.ids import ArtifactId
from tests.integration.coordinator.aging import (
    DATA,
    DEFAULT,
    OF_RUNS,
    a_finished_run,
    files,
    is_served,
    later,
    looked_up,
    rows,
    store_entry,
    travel,
)
from tests.integration.coordinator.driver import digest, pieces, task
from tests.support.archives import archive_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import pytest

    from nx_dte.coordinator.artifacts import StagedUpload
    from nx_dte.coordinator.engine.runner import EventRunner
    from nx_dte.coordinator.store.base import Session
    from tests.integration.coordinator.conftest import Running


# ------------------------------------------------------------------------------------------------- age
async def test_a_run_goes_with_all_that_belongs_to_it(coordinator: Running) -> None:
    driver = coordinator.driver
    run_id = await a_finished_run(driver)

    assert (await later(coordinator, days=29).run_once())["ci_run"] == 0
    assert (await driver.run(run_id))["outcome"] == "succeeded"
    deleted = await later(coordinator, days=31).run_once()

    assert deleted["ci_run"] == 1
    assert await driver.refused("GET", f"/api/v1/ci-runs/{run_id}") == (404, "not_found")
    assert not OF_RUNS & set(await rows(coordinator))
    assert await files(coordinator) == []


async def test_a_run_of_many_rows_goes_in_pieces(
    coordinator: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nx_dte.coordinator.retention.service.ROWS", 2)
    driver = coordinator.driver
    await a_finished_run(driver)
    driver.ci_id = "4712"
    other = await a_finished_run(driver)

    deleted = await later(coordinator, days=31).run_once()

    assert deleted["ci_run"] == 2
    assert await driver.refused("GET", f"/api/v1/ci-runs/{other}") == (404, "not_found")


async def test_zero_keeps_for_ever(start: Any) -> None:
    async with start(run_retention_s=0, cache_retention_s=0) as coordinator:
        run_id = await a_finished_run(coordinator.driver)

        await later(coordinator, days=4000).run_once()

        assert (await coordinator.driver.run(run_id))["state"] == "finished"
        assert len(await looked_up(coordinator.driver, "hash-of-a:build")) == 1


async def test_what_a_live_run_needs_survives_everything(coordinator: Running) -> None:
    driver = coordinator.driver
    run_id = (await driver.open_run())["ci_run_id"]
    agent_id = await driver.join()
    await driver.submit(run_id, [task("a:build"), task("b:build"), task("c:build", dependencies=["b:build"])])
    leases = (await driver.claim(agent_id))["leases"]
    reported = await driver.upload(leases[0]["lease_id"], b"reported")
    await driver.report(agent_id, leases[0], artifact_id=reported)
    uploaded = await driver.upload(leases[1]["lease_id"], b"only uploaded yet")
    await store_entry(driver, "in-nobodys-way", archive_of(b"of no run"))

    deleted = await later(coordinator, days=4000, max_bytes=1).run_once(wanted_bytes=10**12)

    assert deleted["artifact"] == 1
    assert await is_served(driver, archive_of(b"reported"))
    assert await is_served(driver, archive_of(b"only uploaded yet"))
    assert not await is_served(driver, archive_of(b"of no run"))
    result = await driver.report(agent_id, leases[1], artifact_id=uploaded)
    assert result["accepted"], result


async def test_what_was_just_used_survives_even_a_full_disk(coordinator: Running) -> None:
    await store_entry(coordinator.driver, "h")

    await later(coordinator, minutes=59, max_bytes=1).run_once(wanted_bytes=10**12)

    assert await is_served(coordinator.driver)


async def test_unused_cache_entries_go_and_used_ones_stay(coordinator: Running) -> None:
    driver = coordinator.driver
    await store_entry(driver, "used")
    await store_entry(driver, "unused", archive_of(b"other outputs"))
    travel(coordinator, days=10)
    assert set(await looked_up(driver, "used")) == {"used"}

    deleted = await later(coordinator, days=15).run_once()

    assert (deleted["cache_entry"], deleted["artifact"]) == (1, 1)
    assert set(await looked_up(driver, "used", "unused")) == {"used"}
    assert await is_served(driver)
    assert not await is_served(driver, archive_of(b"other outputs"))


async def test_entries_of_a_read_only_run_go_with_it(coordinator: Running) -> None:
    untrusted = coordinator.read_only
    run_id = await a_finished_run(untrusted)
    assert len(await looked_up(untrusted, "hash-of-a:build", ci_run_id=run_id)) == 1

    await later(coordinator, days=20).run_once()
    assert len(await looked_up(untrusted, "hash-of-a:build", ci_run_id=run_id)) == 1
    await later(coordinator, days=31).run_once()

    assert "cache_entries" not in await rows(coordinator)
    assert await files(coordinator) == []


async def test_reads_write_rarely(coordinator: Running) -> None:
    driver = coordinator.driver
    await store_entry(driver, "h")
    retention = coordinator.services.retention

    async def noted() -> tuple[datetime, datetime]:
        artifact_id = ArtifactId(digest(DATA).removeprefix("sha256:"))
        artifact = await retention._store.read(lambda reads: reads.artifact(DEFAULT, artifact_id))
        entries = await retention._store.read(lambda reads: reads.cache_entries(DEFAULT, ["h"], None))  # type: ignore[list-item]
        assert artifact is not None
        return artifact.last_used_at, next(iter(entries.values())).last_used_at

    first = await noted()
    travel(coordinator, minutes=14)
    await looked_up(driver, "h")
    await is_served(driver)
    assert await noted() == first

    travel(coordinator, minutes=16)
    await looked_up(driver, "h")
    second = await noted()
    assert min(second) > first[0] + timedelta(minutes=15)

    travel(coordinator, minutes=32)
    await is_served(driver)
    third = await noted()
    assert third[0] > second[0]
    assert third[1] == second[1]  # a download says nothing of the entry


async def test_an_entry_that_went_since_it_was_found_is_no_answer(
    coordinator: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = coordinator.driver
    await store_entry(driver, "h")
    travel(coordinator, days=15)
    cache = coordinator.services.engine.cache
    # The lookup's own runner only: the reaper writes through the engine's all the time.
    outrun = OutrunRunner(cache._runner, before_write=later(coordinator, days=15).run_once)
    monkeypatch.setattr(cache, "_runner", outrun)

    assert await looked_up(driver, "h") == {}
    assert outrun.writes == 1
    assert not await is_served(driver)


class OutrunRunner:
    """A runner whose writes come too late: something else is always done first."""

    def __init__(self, runner: EventRunner, *, before_write: Callable[[], Awaitable[object]]) -> None:
        self._runner = runner
        self._before_write = before_write
        self.writes = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runner, name)

    async def write(self, work: Callable[[Session], Any]) -> Any:
        self.writes += 1
        await self._before_write()
        return await self._runner.write(work)


# ----------------------------------------------------------------------------------------------- space
async def test_under_the_limit_the_longest_unused_go_first(start: Any) -> None:
    archives = [archive_of(bytes([number]) + os.urandom(1000)) for number in range(4)]
    size = len(archives[0])
    async with start(artifacts_total_max_bytes=3 * size + size // 2) as coordinator:
        driver = coordinator.driver
        for number in range(3):
            travel(coordinator, hours=number)
            await store_entry(driver, f"h{number}", archives[number])
        travel(coordinator, hours=4)
        await looked_up(driver, "h0")
        travel(coordinator, hours=8)

        await store_entry(driver, "h3", archives[3])

        assert set(await looked_up(driver, "h0", "h1", "h2", "h3")) == {"h0", "h2", "h3"}
        assert [await is_served(driver, data) for data in archives] == [True, False, True, True]
        assert len(await files(coordinator)) == 3


async def test_what_does_not_fit_is_refused_and_leaves_nothing(start: Any) -> None:
    async with start(artifacts_total_max_bytes=3000) as coordinator:
        driver = coordinator.driver
        small, large, huge = (archive_of(os.urandom(size)) for size in (1500, 1600, 5000))
        run_id = (await driver.open_run())["ci_run_id"]
        path = f"/api/v1/ci-runs/{run_id}/artifacts"

        async def refused(body: Any, data: bytes) -> tuple[int, str]:
            headers = {"nx-dte-digest": digest(data)}
            status, code = await driver.refused("PUT", path, content=body, headers=headers)
            return status, code

        await driver.ask("PUT", path, content=small, headers={"nx-dte-digest": digest(small)})

        assert await refused(large, large) == (507, "no_space")
        assert await refused(pieces(large), large) == (507, "no_space")
        assert await refused(huge, huge) == (507, "no_space")
        assert await is_served(driver, small)
        assert len(await files(coordinator)) == 1
        assert (await rows(coordinator)).get("loose_blobs") is None
        # Once the run is over and the grace has passed, they do.
        await driver.ask("POST", f"/api/v1/ci-runs/{run_id}/complete", json={"reason": "complete-ci-run"})
        travel(coordinator, hours=9)
        await store_entry(driver, "later", large)
        assert not await is_served(driver, small)


async def test_a_full_disk_is_told_and_room_is_made_soon(
    coordinator: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = coordinator.driver
    await store_entry(driver, "old")
    asked: list[int] = []
    monkeypatch.setattr(coordinator.services.retention, "hurry", asked.append)

    async def full(_self: object, _upload: StagedUpload, _key: str) -> None:
        import errno

        from nx_dte.coordinator.artifacts.staging import space_errors

        with space_errors():
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(type(coordinator.services.artifacts), "publish", full)
    data = archive_of(b"new")
    refused = await driver.refused(
        "PUT", "/api/v1/cache/new", content=data, headers={"nx-dte-digest": digest(data)}
    )

    assert refused == (507, "no_space")
    assert asked == [len(data)]


# ---------------------------------------------------------------------------------------- being seen
async def test_what_is_stored_and_deleted_is_shown(start: Any) -> None:
    async with start(artifacts_total_max_bytes=10**9) as coordinator:
        await store_entry(coordinator.driver, "h")
        await later(coordinator, days=15).run_once()
        await store_entry(coordinator.driver, "h2")
        await coordinator.services.gauges.fill()
        page = coordinator.services.metrics.render().decode()

    assert 'nx_dte_retention_deleted_total{kind="artifact"} 1.0' in page
    assert 'nx_dte_retention_deleted_total{kind="cache_entry"} 1.0' in page
    assert f"nx_dte_artifact_store_bytes {float(len(DATA))}" in page
    assert "nx_dte_artifact_store_limit_bytes 1e+09" in page


async def test_the_loop_makes_room_when_it_is_hurried(start: Any) -> None:
    async with start(retention_interval_s=600) as coordinator:
        await store_entry(coordinator.driver, "h")
        retention = coordinator.services.retention
        retention._now = lambda: datetime.now(UTC) + timedelta(hours=2)

        retention.hurry(1)

        async with asyncio.timeout(20):
            while await files(coordinator):  # noqa: ASYNC110 - a file system has no event to wait for
                await asyncio.sleep(0.05)
        assert not await is_served(coordinator.driver)

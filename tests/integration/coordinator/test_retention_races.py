"""Whatever interleaves or dies, nothing is ever named without being there, and nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from nx_dte.coordinator.store.sql.store import SqlStore
from nx_dte.model.artifact import Artifact
from nx_dte.model.ids import ArtifactId
from tests.integration.coordinator.aging import (
    DATA,
    DEFAULT,
    a_finished_run,
    files,
    is_served,
    later,
    looked_up,
    rows,
    store_entry,
)
from tests.integration.coordinator.driver import digest
from tests.support.archives import archive_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from nx_dte.coordinator.artifacts import StagedUpload
    from nx_dte.coordinator.store.base import Session
    from tests.integration.coordinator.conftest import Running


async def test_the_same_bytes_uploaded_while_they_are_deleted_are_there(
    coordinator: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = coordinator.driver
    await store_entry(driver, "before")
    remove = coordinator.services.artifacts.remove
    uploads = 0

    async def upload_first(key: str) -> None:
        nonlocal uploads
        if not uploads:
            uploads += 1
            await store_entry(driver, "meanwhile")
        await remove(key)

    monkeypatch.setattr(coordinator.services.artifacts, "remove", upload_first)

    deleted = await later(coordinator, days=15).run_once()

    assert (deleted["artifact"], uploads) == (1, 1)
    assert set(await looked_up(driver, "before", "meanwhile")) == {"meanwhile"}
    assert await is_served(driver)
    assert len(await files(coordinator)) == 1


async def test_many_uploads_and_deletions_of_the_same_bytes(coordinator: Running) -> None:
    driver = coordinator.driver
    retention = later(coordinator, hours=2)  # idle, but no upload is given up
    answers: list[int] = []

    async def upload(task_hash: str) -> None:
        for _ in range(4):
            response = await driver.send(
                "PUT", f"/api/v1/cache/{task_hash}", content=DATA, headers={"nx-dte-digest": digest(DATA)}
            )
            answers.append(response.status_code)
            for _ in await looked_up(driver, task_hash):
                pass

    async def delete() -> None:
        for _ in range(12):
            await retention.run_once(wanted_bytes=10**12)

    await asyncio.gather(*(upload(f"h{number}") for number in range(6)), delete(), delete())

    # An upload whose artifact went before its entry was written may be told to try again; never more than that.
    assert set(answers) <= {200, 503}
    assert answers.count(200) > 0
    entries = await looked_up(driver, *(f"h{number}" for number in range(6)))
    assert await is_served(driver) or not entries
    await later(coordinator, seconds=0).run_once()
    assert len(await files(coordinator)) == (await rows(coordinator)).get("artifacts", 0)
    assert (await rows(coordinator)).get("loose_blobs") is None


async def test_two_coordinators_may_delete_at_once(coordinator: Running) -> None:
    driver = coordinator.driver
    await a_finished_run(driver)
    for number in range(20):
        await store_entry(driver, f"h{number}", archive_of(str(number).encode()))

    one, other = later(coordinator, days=31), later(coordinator, days=31)
    counts = await asyncio.gather(one.run_once(), other.run_once())
    await one.run_once()

    assert sum(count["artifact"] for count in counts) >= 20
    assert await files(coordinator) == []
    assert not {"ci_runs", "artifacts", "cache_entries", "loose_blobs"} & set(await rows(coordinator))


async def test_a_download_goes_on_while_its_artifact_is_deleted(coordinator: Running) -> None:
    data = archive_of(os.urandom(3_000_000))
    await store_entry(coordinator.driver, "h", data)
    storage = coordinator.services.engine.storage
    artifact = await storage.artifact(DEFAULT, ArtifactId(digest(data).removeprefix("sha256:")))
    chunks = await storage.stream(artifact)

    got = [await anext(chunks)]
    deleted = await later(coordinator, days=15).run_once()
    got += [chunk async for chunk in chunks]

    assert (deleted["artifact"], deleted["blob"]) == (1, 1)
    assert b"".join(got) == data
    assert not await is_served(coordinator.driver, data)


async def test_a_blob_that_somebody_removed_is_healed_by_the_next_upload(coordinator: Running) -> None:
    driver = coordinator.driver
    await store_entry(driver, "h")
    (key,) = await files(coordinator)
    await asyncio.to_thread((coordinator.data_dir / "artifacts" / "objects" / key).unlink)
    assert not await is_served(driver)

    await store_entry(driver, "h2")

    assert await is_served(driver)
    assert set(await looked_up(driver, "h", "h2")) == {"h", "h2"}


async def test_an_upload_that_died_before_its_row_is_found_and_removed(
    coordinator: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = coordinator.driver

    async def dies(_work: Callable[[Session], Any]) -> None:
        raise RuntimeError("killed")

    runner = coordinator.services.engine.storage._runner
    write, publish = runner.write, coordinator.services.artifacts.publish

    async def publish_then_die(upload: StagedUpload, key: str) -> None:
        await publish(upload, key)
        monkeypatch.setattr(runner, "write", dies)

    monkeypatch.setattr(coordinator.services.artifacts, "publish", publish_then_die)
    response = await driver.send(
        "PUT", "/api/v1/cache/h", content=DATA, headers={"nx-dte-digest": digest(DATA)}
    )
    monkeypatch.setattr(runner, "write", write)
    assert response.status_code == 500
    assert len(await files(coordinator)) == 1

    await later(coordinator, hours=23).run_once()
    assert len(await files(coordinator)) == 1
    await later(coordinator, hours=25).run_once()

    assert await files(coordinator) == []
    assert (await rows(coordinator)).get("loose_blobs") is None


async def test_an_upload_that_froze_for_a_day_names_no_blob_that_was_given_up(
    coordinator: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = coordinator.driver
    publish = coordinator.services.artifacts.publish

    async def publish_then_freeze(upload: StagedUpload, key: str) -> None:
        await publish(upload, key)
        await later(coordinator, hours=25).run_once()

    monkeypatch.setattr(coordinator.services.artifacts, "publish", publish_then_freeze)

    refused = await driver.refused(
        "PUT", "/api/v1/cache/h", content=DATA, headers={"nx-dte-digest": digest(DATA)}
    )

    assert refused == (400, "upload_cut")
    assert "artifacts" not in await rows(coordinator)
    assert not await looked_up(driver, "h")


async def test_a_blob_that_cannot_be_removed_now_is_removed_later(
    coordinator: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    await store_entry(coordinator.driver, "h")
    remove = coordinator.services.artifacts.remove

    async def refuse(_key: str) -> None:
        raise ConnectionError("the object store is away")

    monkeypatch.setattr(coordinator.services.artifacts, "remove", refuse)
    first = await later(coordinator, days=15).run_once()
    monkeypatch.setattr(coordinator.services.artifacts, "remove", remove)
    second = await later(coordinator, days=15).run_once()

    assert (first["artifact"], first["blob"]) == (1, 0)
    assert (second["artifact"], second["blob"]) == (0, 1)
    assert await files(coordinator) == []


# ----------------------------------------------------------------------------- two writers at a time
@pytest.mark.slow
@pytest.mark.needs_postgresql
def test_what_a_transaction_refers_to_is_not_deleted_under_it(postgres_url: str) -> None:
    """Only PostgreSQL has two writing transactions at once."""
    store = SqlStore(postgres_url)
    now = datetime.now(UTC)
    artifacts = [
        Artifact(
            workspace_id=DEFAULT,
            artifact_id=ArtifactId(name * 64),
            size=1,
            created_at=now,
            last_used_at=now,
            blob_key=f"default/{name}",
        )
        for name in "ab"
    ]

    def setup(session: Session) -> None:
        for artifact in artifacts:
            session.reserve_blob(artifact.blob_key, now)
            session.insert_artifact(artifact, lost_blob_key=None)

    is_held, may_end = threading.Event(), threading.Event()

    def refer(session: Session) -> bool:
        found = session.artifact(DEFAULT, artifacts[0].artifact_id) is not None
        is_held.set()
        may_end.wait(30)
        return found

    def delete(session: Session) -> list[str]:
        idle = session.lock_idle_artifacts(artifacts)
        session.delete_artifacts([one.artifact for one in idle], now)
        return [one.artifact.artifact_id for one in idle]

    def hold_deletion(session: Session) -> list[str]:
        gone = delete(session)
        is_held.set()
        may_end.wait(30)
        return gone

    try:
        store._writer.submit(setup).result(30)
        referring = store._writer.submit(refer)
        assert is_held.wait(30)
        # Who deletes passes over what somebody refers to, without waiting.
        assert store._writer.submit(delete).result(30) == [artifacts[1].artifact_id]
        may_end.set()
        assert referring.result(30)

        # Who refers waits for who deletes, and then knows.
        is_held.clear()
        may_end.clear()
        deleting = store._writer.submit(hold_deletion)
        assert is_held.wait(30)
        too_late = store._writer.submit(lambda session: session.artifact(DEFAULT, artifacts[0].artifact_id))
        assert not too_late.done()
        may_end.set()
        assert deleting.result(30) == [artifacts[0].artifact_id]
        assert too_late.result(30) is None
    finally:
        may_end.set()
        store.close()

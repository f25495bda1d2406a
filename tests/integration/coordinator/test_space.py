"""A disk that is full: told as such, survived, and forgotten when there is room again."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING

import httpx2
import pytest
from sqlalchemy.exc import OperationalError

from nx_dte.coordinator.store.errors import ConflictError, StoreFullError
from nx_dte.coordinator.store.sql.writer import translated
from tests.integration.coordinator.driver import READ_WRITE, Driver, digest, task
from tests.support.archives import archive_of
from tests.support.coordinator_process import coordinator_process
from tests.support.small_disk import SmallDisk, small_disk

if TYPE_CHECKING:
    from pathlib import Path

MANY = 3000  # requests that must be enough to use up what the database has set aside for itself
ENVIRONMENT = {
    "NX_DTE_READ_WRITE_TOKEN": READ_WRITE,
    # Nobody may be taken for dead, however slow the machine is.
    "NX_DTE_LEASE_S": "600",
    "NX_DTE_MAIN_SILENCE_S": "600",
}


async def until_full(driver: Driver) -> int:
    """Open CI runs until the database has no page left; returns how many could still be opened."""
    for number in range(MANY):
        body = {"ci_id": f"filling-{number}", "environment": "", "job_id": "1", "branch": "x" * 500}
        response = await driver.send("POST", "/api/v1/ci-runs", json=body)
        if response.status_code != 200:
            assert response.status_code == 507, response.text
            error = response.json()["error"]
            assert (error["code"], error["next"]) == ("no_space", "free space on the coordinator")
            return number
    raise AssertionError("the database never met the full disk")


@pytest.mark.slow
async def test_a_full_disk_stops_writes_only_and_only_while_it_is_full(tmp_path: Path) -> None:
    with (
        small_disk(tmp_path / "small", size_mib=24) as disk,
        coordinator_process(
            disk.folder / "data", log=tmp_path / "log", prefix=disk.command, **ENVIRONMENT
        ) as served,
    ):
        seen = disk.seen_from(served.process.pid)
        async with httpx2.AsyncClient(base_url=served.url, timeout=30) as http:
            driver = Driver(http=http)
            run_id = (await driver.open_run())["ci_run_id"]
            agent_id = await driver.join()
            await driver.submit(run_id, [task("a:build"), task("b:build", dependencies=["a:build"])])
            (lease,) = (await driver.claim(agent_id))["leases"]
            kept = await driver.upload(lease["lease_id"], b"before")
            ballast = SmallDisk.fill(seen)

            # Artifacts, and everything that the database would have to remember.
            data = archive_of(os.urandom(2_000_000))
            path = f"/api/v1/leases/{lease['lease_id']}/artifact"
            headers = {"nx-dte-digest": digest(data)}
            assert await driver.refused("PUT", path, content=data, headers=headers) == (507, "no_space")
            await until_full(driver)
            report = {"reports": [driver.a_report(lease, artifact_id=kept)]}
            reports = f"/api/v1/agents/{agent_id}/reports"
            assert await driver.refused("POST", reports, json=report) == (507, "no_space")

            # Reads go on, for old clients and new ones.
            assert (await driver.run(run_id))["state"] == "open"
            assert (await driver.tasks(run_id))["a:build"]["state"] == "leased"
            async with httpx2.AsyncClient(base_url=served.url, timeout=30) as other:
                download = await Driver(http=other).send("GET", f"/api/v1/artifacts/{kept}")
                assert download.content == archive_of(b"before")
                assert (await other.get("/healthz")).status_code == 200
            staging = seen / "data" / "artifacts" / "staging"
            assert list(staging.iterdir()) == []

            # Room again: the same process goes on where it was.
            ballast.unlink()
            (result,) = (await driver.ask("POST", reports, json=report))["results"]
            assert result["accepted"], result
            assert await driver.work_off(agent_id) == ["b:build"]
            await driver.ask("PUT", "/api/v1/cache/h", content=data, headers=headers)
            done = await driver.ask("POST", f"/api/v1/ci-runs/{run_id}/complete", json={"reason": "c"})
            sequences = [event["sequence"] for event in (await driver.events(run_id, limit=1000))["events"]]

        assert done["outcome"] == "succeeded"
        assert sequences == list(range(1, len(sequences) + 1))
        assert served.process.poll() is None


@pytest.mark.slow
async def test_killed_on_a_full_disk_it_starts_again_when_there_is_room(tmp_path: Path) -> None:
    with small_disk(tmp_path / "small", size_mib=24) as disk:
        if disk.command:
            pytest.skip("a disk of the process's own ends with it; only root can restart on the same one")
        with coordinator_process(disk.folder / "data", log=tmp_path / "log", **ENVIRONMENT) as served:
            async with httpx2.AsyncClient(base_url=served.url, timeout=30) as http:
                run_id = (await Driver(http=http).open_run())["ci_run_id"]
                ballast = SmallDisk.fill(disk.folder)
                opened = await until_full(Driver(http=http))
        ballast.unlink()

        with coordinator_process(disk.folder / "data", log=tmp_path / "log", **ENVIRONMENT) as served:
            async with httpx2.AsyncClient(base_url=served.url, timeout=30) as http:
                driver = Driver(http=http)
                assert (await driver.run(run_id))["state"] == "open"
                # What was answered is there, what was refused is not.
                for number in range(max(0, opened - 5), opened + 1):
                    found = await driver.ask("GET", f"/api/v1/ci-runs?ci_id=filling-{number}")
                    assert (found["ci_run"] is not None) == (number < opened)


class DiskFull(Exception):  # noqa: N818 - PostgreSQL's name
    """As psycopg raises it."""

    sqlstate = "53100"


def of_sqlite(code: int) -> sqlite3.Error:
    error = sqlite3.OperationalError("no")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("cause", "expected"),
    [
        (of_sqlite(sqlite3.SQLITE_FULL), StoreFullError),
        (of_sqlite(sqlite3.SQLITE_IOERR_SHMSIZE), StoreFullError),
        (of_sqlite(sqlite3.SQLITE_BUSY), ConflictError),
        (DiskFull("could not extend file"), StoreFullError),
        (Exception("deadlock detected"), ConflictError),
    ],
    ids=["sqlite full", "sqlite index full", "sqlite busy", "postgresql full", "postgresql deadlock"],
)
def test_only_a_full_disk_is_called_one(cause: Exception, expected: type[Exception]) -> None:
    assert type(translated(OperationalError("INSERT", {}, cause))) is expected

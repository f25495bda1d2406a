"""Backup and restore of the embedded store: the drill, and everything that must be refused."""

from __future__ import annotations

import asyncio
import json
import shutil
import sqlite3
import stat
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from nx_dte.cli import cli
from nx_dte.coordinator import administration, backup
from nx_dte.coordinator.app import data_folder
from nx_dte.coordinator.backup import files
from nx_dte.errors import ConfigurationError
from nx_dte.settings import CoordinatorSettings
from tests.integration.coordinator.driver import READ_WRITE, task

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.integration.coordinator.conftest import Running
    from tests.integration.coordinator.driver import Driver
    from tests.integration.coordinator.life import Start

DATABASES = ["sqlite"]


def _settings(data_dir: Path, **other: Any) -> CoordinatorSettings:
    return CoordinatorSettings.load(data_dir=data_dir, read_write_token=READ_WRITE, **other)


async def _finished_task(driver: Driver, task_id: str = "a:build") -> tuple[str, str]:
    """A run with one finished task; the run's and the artifact's ids."""
    run_id = (await driver.open_run())["ci_run_id"]
    agent_id = await driver.join()
    await driver.submit(run_id, [task(task_id)])
    assert await driver.work_off(agent_id) == [task_id]
    return run_id, (await driver.tasks(run_id))[task_id]["artifact"]["artifact_id"]


def _blobs(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if file.is_file())


# --------------------------------------------------------------------------------------------- the drill
async def test_the_drill(start: Start, tmp_path: Path) -> None:
    """Back up under load, lose everything, restore: what was there is served, and what was under way goes on."""
    data, saved = tmp_path / "data", tmp_path / "backups" / "monday"
    async with start() as coordinator:
        driver = coordinator.driver
        done_run, artifact_id = await _finished_task(driver)
        before = (await driver.send("GET", f"/api/v1/artifacts/{artifact_id}")).content
        driver.ci_id = "4712"
        live_run = (await driver.open_run())["ci_run_id"]
        agent_id = await driver.join()
        await driver.submit(live_run, [task(f"p{number}:build") for number in range(40)], parallel=1)
        (lease,) = (await driver.claim(agent_id))["leases"]

        load = asyncio.create_task(_load(coordinator))
        made = await asyncio.to_thread(administration.make_backup, _settings(data), saved)
        assert await load > 0

    shutil.rmtree(data)
    administration.restore_backup(_settings(data), saved)
    async with start() as coordinator:
        driver = coordinator.driver
        after = await driver.send("GET", f"/api/v1/artifacts/{artifact_id}")
        assert after.content == before
        assert (await driver.tasks(done_run))["a:build"]["outcome"] == "succeeded"

        driver.ci_id = "4712"
        result = await driver.report(
            agent_id, lease, artifact_id=await driver.upload(lease["lease_id"], b"late")
        )
        assert result["accepted"], result
        finished = await driver.work_off(agent_id)
        assert len(finished) == 39
        assert made.artifacts >= 1
        for found in (await driver.tasks(live_run)).values():
            named = found["artifact"]["artifact_id"]
            assert (await driver.send("GET", f"/api/v1/artifacts/{named}")).status_code == 200


async def _load(coordinator: Running) -> int:
    """Runs that come and go while the backup is made."""
    driver = coordinator.driver
    for number in range(10):
        driver.ci_id = f"load-{number}"
        await _finished_task(driver, f"load{number}:build")
    return 10


async def test_every_blob_that_a_backup_under_load_names_is_there(start: Start, tmp_path: Path) -> None:
    async with start() as coordinator:
        load = asyncio.create_task(_load(coordinator))
        made = await asyncio.gather(
            *(
                asyncio.to_thread(administration.make_backup, _settings(tmp_path / "data"), tmp_path / name)
                for name in ("one", "two", "three")
            )
        )
        await load

    for name, manifest in zip(("one", "two", "three"), made, strict=True):
        with closing(sqlite3.connect(tmp_path / name / "coordinator.sqlite3")) as database:
            named = {key for (key,) in database.execute("SELECT blob_key FROM artifacts")}
        objects = tmp_path / name / "objects"
        assert {str(file.relative_to(objects)) for file in _blobs(objects)} == named
        assert manifest.artifacts == len(named)


# -------------------------------------------------------------------------------------------- what it is
async def test_a_backup_is_private_and_says_what_it_holds(start: Start, tmp_path: Path) -> None:
    async with start() as coordinator:
        await _finished_task(coordinator.driver)
        (tmp_path / "data" / "tokens").mkdir()
        (tmp_path / "data" / "tokens" / "read-write").write_text("a-token-of-the-first-start\n")
    folder = tmp_path / "backup"

    options = ["--data-dir", str(tmp_path / "data")]
    result = CliRunner().invoke(cli, ["coordinator", "backup", str(folder), *options])

    assert result.exit_code == 0, result.output
    assert "1 artifacts (" in result.output
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["tokens"] == ["read-write"]
    assert manifest["database_bytes"] == (folder / "coordinator.sqlite3").stat().st_size
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {stat.S_IMODE(file.stat().st_mode) for file in _blobs(folder) if "objects" not in file.parts}
    assert modes == {0o600}
    assert sorted(file.name for file in folder.iterdir()) == [
        "coordinator.sqlite3",
        "manifest.json",
        "objects",
        "tokens",
    ]
    assert [file for file in _blobs(tmp_path) if ".partial-" in str(file)] == []

    target = tmp_path / "elsewhere"
    restored = CliRunner().invoke(
        cli, ["coordinator", "restore", str(folder), "--data-dir", str(target)], standalone_mode=False
    )
    assert restored.exception is None, restored.exception
    assert (target / "tokens" / "read-write").read_text() == "a-token-of-the-first-start\n"


async def test_what_retention_removes_meanwhile_is_left_out(start: Start, tmp_path: Path) -> None:
    async with start() as coordinator:
        await _finished_task(coordinator.driver)
    places, tools = _parts(tmp_path / "data")

    def copy_then_delete(source: Path, target: Path) -> None:
        """Between database and blobs, the artifact goes: row first, as retention does."""
        tools.copy(source, target)
        with closing(sqlite3.connect(source)) as database, database:
            database.execute("DELETE FROM cache_entries")
            database.execute("DELETE FROM artifacts")
        for blob in _blobs(tmp_path / "data" / "artifacts" / "objects"):
            blob.unlink()

    racing = backup.DatabaseTools(copy=copy_then_delete, read=tools.read)
    made = _make(tmp_path / "backup", places, racing)

    assert (made.artifacts, made.missing_blobs) == (0, ())
    assert backup.restore_backup(tmp_path / "backup", _parts(tmp_path / "new")[0], tools) == made


async def test_an_artifact_that_had_been_lost_before_does_not_prevent_a_backup(
    start: Start, tmp_path: Path
) -> None:
    async with start() as coordinator:
        await _finished_task(coordinator.driver)
        coordinator.driver.ci_id = "4712"
    (blob,) = _blobs(tmp_path / "data" / "artifacts" / "objects")
    blob.unlink()
    places, tools = _parts(tmp_path / "data")

    made = _make(tmp_path / "backup", places, tools)

    assert made.missing_blobs == (str(blob.relative_to(tmp_path / "data" / "artifacts" / "objects")),)
    assert backup.restore_backup(tmp_path / "backup", _parts(tmp_path / "new")[0], tools) == made


# ------------------------------------------------------------------------------------------ what is refused
def _parts(data_dir: Path) -> tuple[backup.Places, backup.DatabaseTools]:
    places = backup.Places(
        database=data_dir / "coordinator.sqlite3",
        tokens=data_dir / "tokens",
        objects=data_dir / "artifacts" / "objects",
    )
    return places, administration.TOOLS


def _make(folder: Path, places: backup.Places, tools: backup.DatabaseTools) -> backup.Manifest:
    from nx_dte.coordinator.app import now

    return backup.make_backup(folder, places, tools, version="0", now=now())


@pytest.fixture
async def saved(start: Start, tmp_path: Path) -> Path:
    """A good backup."""
    async with start() as coordinator:
        await _finished_task(coordinator.driver)
    administration.make_backup(_settings(tmp_path / "data"), tmp_path / "saved")
    return tmp_path / "saved"


async def test_a_backup_never_overwrites_another(saved: Path, tmp_path: Path) -> None:
    with pytest.raises(backup.BackupError, match="not empty"):
        administration.make_backup(_settings(tmp_path / "data"), saved)


def _cut_blob(saved: Path) -> None:
    file = _blobs(saved / "objects")[0]
    data = file.read_bytes()
    file.unlink()  # a link: the coordinator's own stays as it is
    file.write_bytes(data[:-1])


def _change_manifest(saved: Path, **changes: Any) -> None:
    file = saved / "manifest.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda saved: (saved / "manifest.json").unlink(), "is no backup"),
        (lambda saved: (saved / "manifest.json").write_text("{"), "cannot be read"),
        (lambda saved: _change_manifest(saved, format=2), "form 2"),
        (lambda saved: (saved / "coordinator.sqlite3").unlink(), "missing or not as it was"),
        (lambda saved: (saved / "coordinator.sqlite3").write_bytes(b"x"), "missing or not as it was"),
        (lambda saved: _blobs(saved / "objects")[0].unlink(), "missing or cut"),
        (_cut_blob, "missing or cut"),
        (lambda saved: _change_manifest(saved, are_artifacts_elsewhere=True), "artifacts_url"),
    ],
)
async def test_a_damaged_backup_is_refused_and_nothing_is_written(
    saved: Path, tmp_path: Path, damage: Callable[[Path], object], complaint: str
) -> None:
    damage(saved)

    with pytest.raises(backup.BackupError, match=complaint):
        administration.restore_backup(_settings(tmp_path / "new"), saved)
    assert [file.name for file in _blobs(tmp_path / "new")] == ["lock"]


async def test_nothing_is_restored_over_what_is_there(saved: Path, tmp_path: Path) -> None:
    before = {file: file.read_bytes() for file in _blobs(tmp_path / "data")}

    with pytest.raises(backup.BackupError, match="is there already"):
        administration.restore_backup(_settings(tmp_path / "data"), saved)
    assert {file: file.read_bytes() for file in _blobs(tmp_path / "data")} == before


async def test_nothing_is_restored_beneath_a_running_coordinator(saved: Path, tmp_path: Path) -> None:
    with (
        data_folder(tmp_path / "new"),
        pytest.raises(ConfigurationError, match="another coordinator uses the data folder"),
    ):
        administration.restore_backup(_settings(tmp_path / "new"), saved)


async def test_a_failed_backup_leaves_nothing(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with start() as coordinator:
        await _finished_task(coordinator.driver)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "link_or_copy", full)
    with pytest.raises(backup.BackupError, match="No space left"):
        administration.make_backup(_settings(tmp_path / "data"), tmp_path / "new" / "backup")
    assert list((tmp_path / "new").iterdir()) == []


def test_there_must_be_a_database(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no coordinator database"):
        administration.make_backup(_settings(tmp_path / "typo"), tmp_path / "backup")
    assert list(tmp_path.iterdir()) == []


def test_a_server_is_backed_up_by_its_own_means(tmp_path: Path) -> None:
    settings = _settings(tmp_path, database_url="postgresql://user:hush@host/name")
    for work in (administration.make_backup, administration.restore_backup):
        with pytest.raises(ConfigurationError, match="pg_") as caught:
            work(settings, tmp_path / "backup")
        assert "hush" not in caught.value.message


async def test_a_database_of_another_version_is_refused(start: Start, tmp_path: Path) -> None:
    async with start():
        pass
    with closing(sqlite3.connect(tmp_path / "data" / "coordinator.sqlite3")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")

    with pytest.raises(backup.BackupError, match=r"9999.*use the nx-dte version"):
        administration.make_backup(_settings(tmp_path / "data"), tmp_path / "another")

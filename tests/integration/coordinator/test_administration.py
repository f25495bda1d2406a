"""Commands on the coordinator's store: what they need to be there, and what they never do."""

from __future__ import annotations

import sqlite3
import stat
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from nx_dte.cli import cli
from nx_dte.coordinator.administration import token_create, token_list
from nx_dte.coordinator.store.sql.store import SqlStore
from nx_dte.errors import ConfigurationError
from nx_dte.settings import CoordinatorSettings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def settings(tmp_path: Path) -> CoordinatorSettings:
    """Of a coordinator that was started once."""
    chosen = CoordinatorSettings.load(data_dir=tmp_path / "data")
    store = SqlStore(chosen.database)
    store.migrate()
    store.close()
    return chosen


@pytest.mark.parametrize(
    "command", [["create", "--access", "read-only"], ["list"], ["revoke", "01ARZ3NDEKTSV4RRFFQ69G5FAV"]]
)
def test_without_a_database_none_is_made(tmp_path: Path, command: list[str]) -> None:
    folder = tmp_path / "typo"
    result = CliRunner().invoke(
        cli, ["coordinator", "token", *command, "--data-dir", str(folder)], standalone_mode=False
    )

    assert isinstance(result.exception, ConfigurationError)
    assert str(folder / "coordinator.sqlite3") in result.exception.message
    assert "--data-dir" in result.exception.message
    assert result.output == ""
    assert not folder.exists()


def test_a_database_of_an_older_version_is_not_changed_beneath_its_coordinator(tmp_path: Path) -> None:
    settings = CoordinatorSettings.load(data_dir=tmp_path)
    file = tmp_path / "coordinator.sqlite3"
    file.touch()

    with pytest.raises(ConfigurationError, match=r"lacks \d+ schema changes"):
        token_list(settings)
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("SELECT name FROM sqlite_master").fetchall() == []


@pytest.mark.parametrize("name", ["", "a/b", "..", " x", "x" * 129])
def test_a_workspace_needs_a_usable_name(name: str, settings: CoordinatorSettings) -> None:
    arguments = ["--access", "read-only", "--workspace", name, "--data-dir", str(settings.data_dir)]
    result = CliRunner().invoke(cli, ["coordinator", "token", "create", *arguments])

    assert result.exit_code == 2
    assert "is no workspace name" in result.output
    assert token_list(settings) == []


def test_a_token_is_created_listed_and_revoked(settings: CoordinatorSettings) -> None:
    made = token_create(settings, workspace="team-a", access="read-only", expires_in=None)
    options = ["--data-dir", str(settings.data_dir)]

    result = CliRunner().invoke(cli, ["coordinator", "token", "revoke", made.token_id, *options])

    assert result.exit_code == 0, result.output
    (listed,) = token_list(settings)
    assert (listed.workspace, listed.access) == ("team-a", "read-only")
    assert listed.revoked_at is not None


def test_the_database_is_its_owners_alone(settings: CoordinatorSettings) -> None:
    store = SqlStore(settings.database)  # opened, so that the log beside it is there as well
    try:
        store.migrate()
        files = sorted(settings.data_dir.glob("coordinator.sqlite3*"))
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in files}
    finally:
        store.close()

    assert modes["coordinator.sqlite3"] == 0o600
    assert modes["coordinator.sqlite3-wal"] == 0o600
    assert set(modes.values()) == {0o600}


@pytest.mark.parametrize("url", ["mysql://user:hush@host/name", "nonsense"])
async def test_nothing_is_made_for_a_database_that_cannot_be_used(tmp_path: Path, url: str) -> None:
    from nx_dte.coordinator.app import running

    settings = CoordinatorSettings.load(data_dir=tmp_path / "data", database_url=url)
    with pytest.raises(ConfigurationError) as caught:
        async with running(settings):
            pass

    assert "hush" not in caught.value.message
    assert not (tmp_path / "data" / "tokens").exists()

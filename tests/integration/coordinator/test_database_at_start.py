"""A coordinator whose database or disk cannot be used, as whoever starts it sees it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from nx_dte.coordinator.app import usable
from nx_dte.coordinator.artifacts import NoSpaceError
from nx_dte.demo.coordinator import free_port
from nx_dte.errors import ConfigurationError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.postgres import PostgresServer

pytestmark = pytest.mark.slow  # each starts a process
SECRET = "a-password-nobody-must-see"


def serve(tmp_path: Path, url: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nx_dte", "coordinator", "serve", "--data-dir", str(tmp_path / "data")]
    settings = {"NX_DTE_DATABASE_URL": url, "NX_DTE_LISTEN": "127.0.0.1:0", "NX_DTE_METRICS_LISTEN": "off"}
    return subprocess.run(
        command,
        env={**os.environ, **settings, **environment},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


def test_it_waits_says_why_and_gives_up(tmp_path: Path) -> None:
    url = f"postgresql://somebody:{SECRET}@127.0.0.1:{free_port()}/name"

    done = serve(tmp_path, url, NX_DTE_DATABASE_WAIT_S="1.5")

    assert done.returncode == 75
    assert done.stdout.count("waits for the database postgresql+psycopg://somebody:***@127.0.0.1") == 1
    assert "did not answer within 1.5 s" in done.stderr
    assert "Traceback" not in done.stderr
    assert SECRET not in done.stdout + done.stderr


@pytest.mark.needs_postgresql
def test_a_wrong_password_is_a_configuration_error(tmp_path: Path, postgres: PostgresServer) -> None:
    done = serve(tmp_path, postgres.url(password=SECRET))

    assert done.returncode == 78
    assert "password authentication failed" in done.stderr
    assert "Traceback" not in done.stderr
    assert SECRET not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "content", [b"\0" * 40_000, b"SQLite format 3\0" + b"x" * 40_000], ids=["zeros", "half"]
)
def test_a_damaged_database_is_named_and_what_to_do_about_it(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "data" / "coordinator.sqlite3"
    file.parent.mkdir(mode=0o700)
    file.write_bytes(content)

    done = serve(tmp_path, f"sqlite:///{file}")

    assert done.returncode == 78
    assert str(file) in done.stderr
    assert "restore a backup" in done.stderr
    assert "Traceback" not in done.stderr
    assert file.read_bytes() == content


def test_a_file_where_a_folder_should_be_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "artifacts").touch()

    done = serve(tmp_path, f"sqlite:///{tmp_path / 'data' / 'coordinator.sqlite3'}")

    assert done.returncode == 78
    assert f"{tmp_path / 'data' / 'artifacts'}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_full_disk_is_no_wrong_setting(tmp_path: Path) -> None:
    """A supervisor that gives up on wrong settings must go on trying here."""
    with pytest.raises(NoSpaceError), usable(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(ConfigurationError, match="Read-only file system"), usable(tmp_path):
        raise OSError(errno.EROFS, "Read-only file system", "/var/lib/nx-dte/tokens")

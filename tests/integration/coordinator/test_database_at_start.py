"""A coordinator whose database is not there, as whoever starts it sees it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from nx_dte.demo.coordinator import free_port

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

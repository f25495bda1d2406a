"""Both as programs of their own, as they run in a container or on a host."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import httpx2
import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow
END_S = 40.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def runner_command(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.support.runner", *arguments],
        cwd=root, capture_output=True, text=True, timeout=END_S, check=False,
    )  # fmt: skip


def test_register_run_and_drain(repository_root: Path, tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    config = tmp_path / "etc/config.toml"
    server = subprocess.Popen(
        [sys.executable, "-m", "tests.support.gitlab", "--listen", f"127.0.0.1:{port}", "--repositories",
         str(tmp_path / "repositories"), "--project", "acme/shop", "--token", "glpat-of-this-test"],
        cwd=repository_root, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    runner: subprocess.Popen[str] | None = None
    try:
        assert server.stdout is not None
        assert "glpat-of-this-test" in server.stdout.readline()
        with httpx2.Client(headers={"PRIVATE-TOKEN": "glpat-of-this-test"}, trust_env=False) as http:
            wait_until_up(http, f"{url}/api/v4/version")
            values = {"runner_type": "instance_type", "tag_list": ["nx"]}
            token = http.post(f"{url}/api/v4/user/runners", json=values).json()["token"]
            refused = runner_command(
                repository_root, "register", "--config", str(config), "--url", url, "--token", "glrt-wrong"
            )
            assert refused.returncode == 1
            assert not config.exists()
            done = runner_command(
                repository_root, "register", "--config", str(config), "--url", url, "--token", token
            )
            assert done.returncode == 0, done.stderr
            assert "is valid" in runner_command(repository_root, "verify", "--config", str(config)).stdout
            assert (config.parent / ".runner_system_id").read_text(encoding="utf-8").startswith("r_")
            runner = subprocess.Popen(
                [sys.executable, "-m", "tests.support.runner", "run", "--config", str(config)],
                cwd=repository_root, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
            assert runner.stdout is not None
            assert runner.stdout.readline() == "waiting for jobs\n"
            runner.send_signal(signal.SIGQUIT)
            assert runner.wait(END_S) == 0
            managers = http.get(f"{url}/api/v4/runners/all").json()
            assert [item["status"] for item in managers] == ["online"]
    finally:
        for process in (runner, server):
            if process is not None:
                process.terminate()
                process.wait(END_S)
                assert process.stdout is not None
                process.stdout.close()


def wait_until_up(http: httpx2.Client, url: str) -> None:
    deadline = time.monotonic() + END_S
    while True:
        try:
            assert http.get(url).status_code == 200
        except httpx2.TransportError:
            assert time.monotonic() < deadline, f"{url} does not answer"
            time.sleep(0.05)
        else:
            return

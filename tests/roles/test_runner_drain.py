"""nx-dte-drain with systemctl and the runner's own server played by the test: it waits for jobs, and says which are left."""

from __future__ import annotations

import http.server
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = Path(__file__).resolve().parents[2] / "roles/gitlab_runner/files/nx-dte-drain"
SYSTEMCTL = """#!/bin/sh
folder=$(dirname "$0")
echo "$*" >> "$folder/calls"
case "$1" in
  stop) echo deactivating > "$folder/state" ;;
  show) echo "ActiveState=$(cat "$folder/state")"; echo "Result=$(cat "$folder/result")" ;;
esac
"""
JOBS = "url=https://gitlab.example.org state=running stage=script executor_stage=docker_run duration=12s job=4711"


class Host:
    """A host whose runner is in the state that the test says."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.listen = ""
        (folder / "systemctl").write_text(SYSTEMCTL, encoding="utf-8")
        (folder / "systemctl").chmod(0o755)
        self.is_in("active")

    def is_in(self, state: str, result: str = "success") -> None:
        (self.folder / "result").write_text(result, encoding="utf-8")
        new = self.folder / "state.new"
        new.write_text(state, encoding="utf-8")
        new.replace(self.folder / "state")

    @property
    def state(self) -> str:
        return (self.folder / "state").read_text(encoding="utf-8").strip()

    def drain(self, timeout_s: float) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(PROGRAM), "--timeout", str(timeout_s), "--metrics", self.listen],
            env={**os.environ, "PATH": f"{self.folder}:{os.environ['PATH']}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


@pytest.fixture
def pages(host: Host) -> Iterator[dict[str, str]]:
    shown: dict[str, str] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = shown.get(self.path, "").encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        host.listen = f"127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield shown
        server.shutdown()
        thread.join()


def test_it_waits_until_the_jobs_have_ended(host: Host) -> None:
    with host.drain(timeout_s=60) as process:
        wait_until(lambda: host.state == "deactivating", 30, "the unit is told to stop")
        assert process.poll() is None
        host.is_in("inactive")
        out, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")
    assert "drained: gitlab-runner.service stopped after" in out
    assert "stop --no-block gitlab-runner.service" in (host.folder / "calls").read_text(encoding="utf-8")


@pytest.mark.parametrize("state", ["inactive", "failed"])
def test_a_runner_that_does_not_run_is_left_alone(host: Host, state: str) -> None:
    host.is_in(state)
    with host.drain(timeout_s=60) as process:
        out, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "nothing to drain" in out
    assert "stop" not in (host.folder / "calls").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("path", "page", "expected"),
    [
        ("/debug/jobs/list", f"{JOBS}\n{JOBS}\n", "2 running jobs\n  url="),
        (
            "/metrics",
            'gitlab_runner_jobs{runner="a"} 2\ngitlab_runner_jobs{runner="b"} 1\n',
            "3 running jobs",
        ),
        ("/metrics", "", "how many is not known"),
    ],
    ids=["named", "counted", "unknown"],
)
def test_jobs_that_are_left_are_named_when_time_is_up(
    host: Host, pages: dict[str, str], path: str, page: str, expected: str
) -> None:
    pages[path] = page
    with host.drain(timeout_s=0.1) as process:
        _, err = process.communicate(timeout=30)
    assert process.returncode == 75
    assert expected in err
    assert "It takes no new ones, and stops when these end." in err
    assert host.state == "deactivating", "the jobs go on"


def test_jobs_that_were_cut_short_are_told(host: Host) -> None:
    with host.drain(timeout_s=60) as process:
        wait_until(lambda: host.state == "deactivating", 30, "the unit is told to stop")
        host.is_in("failed", result="timeout")
        _, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "jobs may have been cut short" in err

"""An engine that answers is used; where there is none, one is started and stopped again, and no other."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from toolchain.images.__main__ import main
from toolchain.images.docker import DockerError, answers
from toolchain.images.engine import NoEngineError, running_engine

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

# As on a machine on which nothing runs any more: a network and folders of its own, and files of an engine that was
# killed, with an id that another process has by now.
BARE = (
    "ip link set lo up && mount -t tmpfs none /run && mkdir /run/lock && mount -t tmpfs none /var/lib/docker && "
    "mkdir -p /run/docker/containerd && echo $$ | tee /run/docker.pid >/run/docker/containerd/containerd.pid && "
    'exec "$0" "$@"'
)


def _client(folder: Path, code: int) -> str:
    program = folder / "client"
    program.write_text(f"#!/bin/sh\nexit {code}\n", encoding="utf-8")
    program.chmod(0o755)
    return str(program)


def test_an_engine_that_answers_is_used_and_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER", _client(tmp_path, 0))
    with running_engine(tmp_path / "log") as was_started:
        assert not was_started
    assert not (tmp_path / "log").exists()


def test_an_engine_elsewhere_that_does_not_answer_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER", _client(tmp_path, 1))
    monkeypatch.setenv("DOCKER_HOST", "tcp://builds.example.test:2376")
    with (
        pytest.raises(DockerError, match=r"DOCKER_HOST is tcp://builds\.example\.test:2376, where no engine"),
        running_engine(tmp_path),
    ):
        pytest.fail("there is none")


def test_who_is_not_root_is_told_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER", _client(tmp_path, 1))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    with (
        pytest.raises(NoEngineError, match="only root on Debian can install and start one here; start one"),
        running_engine(tmp_path),
    ):
        pytest.fail("there is none")


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("engine")
def test_one_that_was_started_is_stopped_and_another_stays(repository_root: Path) -> None:
    if os.getuid() != 0 or shutil.which("unshare") is None or "DOCKER_HOST" in os.environ:
        pytest.skip("only root can make a machine in a machine")
    inner = [sys.executable, "-B", "-m", "toolchain.images", "run", "--", "sh", "-c"]
    command = ["unshare", "--mount", "--net", "bash", "-c", BARE, *inner]
    done = subprocess.run(
        [*command, "docker info --format '{{.Images}} images' && pgrep -c dockerd"],
        cwd=repository_root,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("started an engine")
    assert lines[1] == "0 images"
    assert lines[-1] == "stopped the engine that was started for this"
    assert answers()


def test_where_none_can_be_had_a_command_runs_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCKER", _client(tmp_path, 1))
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 1000)
    assert main(["run", "--", "sh", "-c", "echo ran; exit 3"]) == 3
    said = capfd.readouterr()
    assert said.out == "ran\n"
    assert "finds no engine that answers" in said.err


def test_one_that_should_answer_and_does_not_is_a_failure_and_no_reason_to_skip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DOCKER", _client(tmp_path, 1))
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    assert main(["run", "--", "echo", "ran"]) == 1
    said = capfd.readouterr()
    assert said.out == ""
    assert "DOCKER_HOST is unix:///nowhere.sock, where no engine answers; start it" in said.err

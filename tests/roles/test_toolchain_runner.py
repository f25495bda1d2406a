"""The stand-in runner in gitlab-runner's place: its commands, and tokens that expire."""

from __future__ import annotations

import re
import signal
import stat
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.gitlab.server import StandIn
from tests.support.processes import wait_until
from tests.support.runner_service import END_S, Service, with_project

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow


@pytest.fixture
def gitlab(tmp_path: Path) -> Iterator[StandIn]:
    with StandIn(tmp_path / "repositories") as stand_in:
        with_project(stand_in, tmp_path)
        yield stand_in


@pytest.fixture
def service(gitlab: StandIn, tmp_path: Path, repository_root: Path) -> Iterator[Service]:
    made = Service(gitlab, tmp_path, repository_root)
    yield made
    made.stop()


def test_a_token_is_renewed_before_it_expires_and_kept_in_the_file(service: Service, gitlab: StandIn) -> None:
    token = gitlab.add_runner("nx-main")
    gitlab.call("PUT", "/-/stand-in/settings", runner_token_lifetime_s=3600)
    dates = "token_obtained_at = 2026-01-01T00:00:00Z\ntoken_expires_at = 2026-01-01T01:00:00Z"
    service.write(service.entry(token, executor="shell", more=dates))
    service.start()
    wait_until(lambda: token not in service.file.read_text(encoding="utf-8"), END_S, "the token has changed")
    assert stat.S_IMODE(service.file.stat().st_mode) == 0o600
    job = service.start_job("tags: [nx-main], script: [echo shell works]")
    assert "shell works" in service.until(job, "success", "failed")
    assert service.status(job) == "success"
    renewed = service.file.read_text(encoding="utf-8")
    service.send(signal.SIGQUIT)
    assert service.wait() == 0
    assert service.file.read_text(encoding="utf-8") == renewed, "it is renewed once"


def command(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.support.runner", *arguments],
        cwd=root, capture_output=True, text=True, timeout=END_S, check=False,
    )  # fmt: skip


def test_its_version_is_told_as_the_real_one_does(repository_root: Path) -> None:
    said = command(repository_root, "--version").stdout
    assert re.search(r"^Version:      18\.5\.0$", said, re.MULTILINE)
    assert "stand-in" in said


@pytest.mark.parametrize(
    ("content", "code"),
    [
        ("concurrent = 1\n", 0),
        ("concurrent = \n", 1),
        ("concurrent = 0\n", 1),
        ('[[runners]]\nname = "no url"\n', 1),
    ],
)
def test_lint(repository_root: Path, tmp_path: Path, content: str, code: int) -> None:
    file = tmp_path / "config.toml"
    file.write_text(content, encoding="utf-8")
    done = command(repository_root, "lint", "--config", str(file))
    assert done.returncode == code, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["config.toml"]


def test_unregister_leaves_neither_manager_nor_entry(
    service: Service, gitlab: StandIn, repository_root: Path
) -> None:
    tokens = [gitlab.add_runner("a"), gitlab.add_runner("b")]
    service.write(*(service.entry(token, executor="shell") for token in tokens))
    config = ["--config", str(service.file)]
    assert command(repository_root, "verify", *config).returncode == 0
    done = command(repository_root, "unregister", *config, "--token", tokens[0])
    assert done.returncode == 0, done.stderr
    listed = command(repository_root, "list", *config).stderr
    assert tokens[0] not in listed
    assert tokens[1] in listed
    managers: dict[str, list[Any]] = {
        runner["id"]: gitlab.call("GET", f"/runners/{runner['id']}/managers")
        for runner in gitlab.call("GET", "/runners/all")
    }
    assert sorted(map(len, managers.values())) == [0, 1]

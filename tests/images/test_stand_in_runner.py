"""The stand-in for gitlab-runner in the roles' tests runs jobs in containers as the real one does."""

from __future__ import annotations

import os
import re
import signal
import socket
import urllib.request
from typing import TYPE_CHECKING

import pytest

from tests.support.gitlab.server import StandIn
from tests.support.processes import wait_until
from tests.support.runner_service import API, END_S, Service, with_project
from toolchain.images.docker import docker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.images.conftest import Built

pytestmark = pytest.mark.slow


@pytest.fixture
def gitlab(tmp_path: Path) -> Iterator[StandIn]:
    with StandIn(tmp_path / "repositories") as stand_in:
        with_project(stand_in, tmp_path)
        yield stand_in


@pytest.fixture
def in_docker(gitlab: StandIn, tmp_path: Path, built: Built) -> Iterator[Service]:
    """A service with the docker executor, for jobs in the runner image."""
    made = Service(gitlab, tmp_path, built.root, image=built.runner)
    made.write(made.entry(gitlab.add_runner("nx-main")))
    yield made
    made.stop()


def containers(service: Service) -> str:
    """Those of the service's jobs that are there, running or not."""
    return docker("ps", "--all", "--quiet", "--filter", f"label=tests={service.mark}")


def test_a_job_runs_in_its_image_on_a_checkout_of_root_that_everybody_may_write_to(
    in_docker: Service,
) -> None:
    in_docker.start()
    job = in_docker.start_job(
        "tags: [nx-main], script: ['id -u', 'cat /proc/1/comm', pwd, 'stat -c %A:%u README .', 'echo more >> README',"
        " 'git rev-parse HEAD', 'mkdir out && echo made > out/file'], after_script: ['cat out/file; echo after'],"
        " artifacts: {paths: [out]}"
    )
    log = in_docker.until(job, "success", "failed")
    assert in_docker.status(job) == "success", log
    assert re.search(r"^1000$", log, re.MULTILINE)
    assert "\ntini\n" in log
    assert "\n/builds/acme/shop\n" in log
    assert f"-rw-rw-rw-:{os.getuid()}\ndrwxrwxrwx:{os.getuid()}\n" in log
    assert "made\nafter" in log
    assert "Uploading artifacts as 'archive' to coordinator... 201" in log
    assert containers(in_docker) == ""


def test_exit_codes_and_images_that_are_not_allowed(in_docker: Service, gitlab: StandIn) -> None:
    token = gitlab.add_runner("nx-main")
    in_docker.write(in_docker.entry(token, allowed_images='["nx-dte/*:*"]'))
    in_docker.start()
    job = in_docker.start_job("tags: [nx-main], script: ['(exit 78) || exit $?']")
    assert "exit status 78" in in_docker.until(job, "failed")
    job = in_docker.start_job("tags: [nx-main], image: 'debian:bookworm-slim', script: [echo]")
    assert '"debian:bookworm-slim" image is not present on list of allowed images' in in_docker.until(
        job, "failed"
    )
    job = in_docker.start_job("tags: [nx-main], image: 'nx-dte/nowhere:1', script: [echo]")
    assert "No such image: nx-dte/nowhere:1" in in_docker.until(job, "failed")


def test_a_cancelled_job_is_told_then_killed(in_docker: Service, gitlab: StandIn) -> None:
    in_docker.start()
    job = in_docker.start_job(
        'tags: [nx-main], script: [\'setsid bash -c "trap \\"echo told\\" TERM; echo ready; '
        "while true; do sleep 1; done\"']"
    )
    in_docker.until_printed(job, "ready")
    gitlab.call("POST", f"{API}/jobs/{job}/cancel")
    assert "told" in in_docker.until(job, "canceled")
    wait_until(lambda: containers(in_docker) == "", END_S, "its container is gone")


def test_a_drain_lets_a_job_end_and_a_changed_file_is_followed_before(
    in_docker: Service, gitlab: StandIn
) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    head = f'listen_address = "{address}"'
    in_docker.write(head=head)
    in_docker.start()
    in_docker.write(in_docker.entry(gitlab.add_runner("nx-late")), head=head)
    in_docker.send(signal.SIGHUP)
    script = "until test -e go; do sleep 0.2; done; echo went"
    job = in_docker.start_job(f"tags: [nx-late], script: ['echo here; {script}']")
    in_docker.until_printed(job, "here")
    shown = metrics(address)
    assert re.search(r'^gitlab_runner_jobs\{.*state="running".*\} 1$', shown, re.MULTILINE), shown
    assert 'version="18.5.0"' in shown
    in_docker.write("not = [toml")  # is refused, and harms no job
    wait_until(lambda: "Failed to load config" in in_docker.log, END_S, "the bad file is refused")
    in_docker.send(signal.SIGQUIT)
    [folder] = in_docker.file.parents[1].glob("home/builds/*/0/acme/shop")
    (folder / "go").touch()
    assert "went" in in_docker.until(job, "success")
    assert in_docker.wait() == 0


def metrics(address: str) -> str:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as answer:
        return str(answer.read().decode())

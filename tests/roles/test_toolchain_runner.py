"""The stand-in runner in gitlab-runner's place: containers, a changed file, signals, tokens that expire."""

from __future__ import annotations

import os
import re
import signal
import socket
import stat
import subprocess
import sys
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.gitlab.server import StandIn
from tests.support.gitlab.work_tree import WorkTree
from tests.support.processes import wait_until
from toolchain.images.docker import DockerError, answers, docker

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow
PROJECT = "acme/shop"
API = "/projects/acme%2Fshop"
IMAGE = "nx-dte/runner:node18"
END_S = 90.0
LABEL = "label=com.gitlab.gitlab-runner.managed=true"


@pytest.fixture
def gitlab(tmp_path: Path) -> Iterator[StandIn]:
    with StandIn(tmp_path / "repositories") as stand_in:
        stand_in.call("POST", "/projects", path=PROJECT)
        WorkTree.clone(stand_in, PROJECT, tmp_path / "tree").commit({"README": "hello\n"})
        yield stand_in


class Service:
    """`gitlab-runner run` on a host of its own making."""

    def __init__(self, gitlab: StandIn, folder: Path, root: Path) -> None:
        self.gitlab = gitlab
        self.file = folder / "etc/config.toml"
        self.file.parent.mkdir()
        self._root = root
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def write(self, *entries: str, head: str = "") -> None:
        new = self.file.with_suffix(".other")
        new.write_text("\n".join(["concurrent = 4", "check_interval = 1", head, *entries]), encoding="utf-8")
        new.replace(self.file)

    def entry(self, token: str, *, executor: str = "docker", more: str = "", **docker_keys: str) -> str:
        lines = ["[[runners]]", 'name = "tests"', f'url = "{self.gitlab.url}"', f'token = "{token}"']
        lines += [f'executor = "{executor}"', more]
        if executor == "docker":
            keys = {"image": f'"{IMAGE}"', "pull_policy": '["never"]', "network_mode": '"none"'} | docker_keys
            lines += ["[runners.docker]", *(f"{key} = {value}" for key, value in keys.items())]
        return "\n".join(lines)

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.support.runner", "run", "--config", str(self.file)]
        command += ["--working-directory", str(self.file.parents[1] / "home"), "--service", "gitlab-runner"]
        command += ["--trace-interval", "0.3", "--kill-after", "3"]
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=self._root, stdout=log, stderr=subprocess.STDOUT, env=environment
            )
        wait_until(lambda: "waiting for jobs" in self.log, END_S, "the service is up")

    @property
    def log(self) -> str:
        return self._log.read_text(encoding="utf-8") if self._log.exists() else ""

    def send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self) -> int:
        assert self._process is not None
        return self._process.wait(END_S)

    def stop(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(END_S)

    # ------------------------------------------------------------------------------------------- its jobs
    def start_job(self, job: str) -> int:
        """A pipeline of this one job, which is named `it`; the job's id."""
        pipeline_id = self.gitlab.start_pipeline(PROJECT, ci_file=f"it: {{{job}}}\n")
        [row] = self.gitlab.call("GET", f"{API}/pipelines/{pipeline_id}/jobs")
        return int(row["id"])

    def status(self, job_id: int) -> str:
        return str(self.gitlab.call("GET", f"{API}/jobs/{job_id}")["status"])

    def job_log(self, job_id: int) -> str:
        return str(self.gitlab.api.get(f"{API}/jobs/{job_id}/trace").text)

    def until(self, job_id: int, *states: str) -> str:
        wait_until(
            lambda: self.status(job_id) in states, END_S, f"the job is {' or '.join(states)}\n{self.log}"
        )
        return self.job_log(job_id)

    def until_printed(self, job_id: int, text: str) -> None:
        wait_until(lambda: text in self.job_log(job_id), END_S, f"the job prints {text}")


@pytest.fixture
def service(gitlab: StandIn, tmp_path: Path, repository_root: Path) -> Iterator[Service]:
    made = Service(gitlab, tmp_path, repository_root)
    yield made
    made.stop()


@pytest.fixture
def in_docker(service: Service, gitlab: StandIn) -> Service:
    """One with the docker executor, in the runner image."""
    if not answers():
        pytest.skip("no container engine answers")
    try:
        docker("image", "inspect", IMAGE)
    except DockerError:
        pytest.skip(f"{IMAGE} is not built; run `make images`")
    service.write(service.entry(gitlab.add_runner("nx-main"), environment='["COLOUR=blue"]'))
    return service


def containers() -> str:
    return docker("ps", "--all", "--quiet", "--filter", LABEL)


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
    assert containers() == ""


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
    wait_until(lambda: containers() == "", END_S, "its container is gone")


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

"""A real gitlab-runner against the stand-in GitLab: proof that the stand-in speaks as GitLab does.

Opt-in: GITLAB_RUNNER_BIN names the program (17.5 or newer). It runs jobs with its shell executor, on this machine.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.gitlab.server import StandIn
from tests.support.gitlab.work_tree import WorkTree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BINARY = os.environ.get("GITLAB_RUNNER_BIN", "")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(300),
    pytest.mark.skipif(not BINARY, reason="GITLAB_RUNNER_BIN names no gitlab-runner program"),
]
PROJECT = "/projects/acme%2Fshop"
END_S = 120.0
ENDED = {"success", "failed", "canceled", "skipped"}
TRAVEL = """
stages: [make, use]
make:
  stage: make
  tags: [nx-main]
  script: [mkdir dist, echo made > dist/file, echo COLOUR=blue > out.env]
  artifacts: {paths: [dist], reports: {dotenv: out.env}}
use:
  stage: use
  tags: [nx-main]
  script: [cat dist/file README, 'echo "colour $COLOUR"']
codes:
  stage: use
  tags: [nx-main]
  script: ["bash -c 'exit 77' || exit $?"]
  allow_failure: {exit_codes: [77]}
command:
  stage: use
  tags: [nx-main]
  script: ["bash -c 'exit 77'"]
  allow_failure: {exit_codes: [1]}
flag:
  stage: use
  tags: [nx-main]
  variables: {FF_USE_NEW_BASH_EVAL_STRATEGY: "true"}
  script: ["bash -c 'exit 77'"]
  allow_failure: {exit_codes: [77]}
foreign: {stage: use, tags: [nx-agent], script: [echo], when: always, allow_failure: true}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rig:
    """A stand-in with one project, and a real runner that is registered with it and running."""

    gitlab: StandIn
    runner: subprocess.Popen[bytes]

    def jobs(self, pipeline_id: int) -> dict[str, dict[str, Any]]:
        found = self.gitlab.call("GET", f"{PROJECT}/pipelines/{pipeline_id}/jobs?per_page=100")
        return {job["name"]: job for job in found}

    def trace(self, job: dict[str, Any]) -> str:
        return self.gitlab.api.get(f"{PROJECT}/jobs/{job['id']}/trace").text


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + END_S
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {END_S:g} s"
        time.sleep(0.2)


def command(*arguments: str) -> str:
    done = subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=END_S, check=False)
    output = done.stdout + done.stderr
    assert done.returncode == 0, output
    return output


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    config = tmp_path / "etc/config.toml"
    config.parent.mkdir()
    config.write_text("concurrent = 2\ncheck_interval = 1\n", encoding="utf-8")
    with StandIn(tmp_path / "repositories") as gitlab:
        gitlab.call("POST", "/projects", path="acme/shop")
        WorkTree.clone(gitlab, "acme/shop", tmp_path / "tree").commit({"README": "hello\n"})
        token = gitlab.add_runner("nx-main")
        command(
            "register", "--non-interactive", "--config", str(config), "--url", gitlab.url, "--token", token,
            "--executor", "shell", "--name", "real", "--builds-dir", str(tmp_path / "builds"),
        )  # fmt: skip
        command("verify", "--config", str(config))
        process = subprocess.Popen(
            [BINARY, "run", "--config", str(config), "--working-directory", str(tmp_path)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            yield Rig(gitlab=gitlab, runner=process)
        finally:
            process.terminate()
            process.wait(END_S)


def test_a_pipeline_travels_through_a_real_runner(rig: Rig) -> None:
    pipeline_id = rig.gitlab.start_pipeline("acme/shop", ci_file=TRAVEL)
    wanted = ("make", "use", "codes", "command", "flag")
    wait_until(lambda: all(rig.jobs(pipeline_id)[name]["status"] in ENDED for name in wanted), "the jobs end")
    jobs = rig.jobs(pipeline_id)
    traces = {name: rig.trace(jobs[name]) for name in wanted}
    assert {name: jobs[name]["status"] for name in wanted} == {
        "make": "success", "use": "success", "codes": "failed", "command": "failed", "flag": "failed",
    }, traces  # fmt: skip
    # One by one: newer runners put a time before each line.
    assert "made" in traces["use"].partition("cat dist/file README")[2]
    assert "hello" in traces["use"]
    assert "colour blue" in traces["use"]
    # What the runner reports for a script's end is what allow_failure:exit_codes and retry:exit_codes see.
    assert all(jobs[name]["allow_failure"] for name in ("codes", "command", "flag")), traces
    assert jobs["foreign"]["status"] == "pending"


def test_a_real_runner_heeds_a_cancel(rig: Rig, tmp_path: Path) -> None:
    text = f"job: {{tags: [nx-main], script: ['touch {tmp_path}/on', sleep 600]}}\n"
    pipeline_id = rig.gitlab.start_pipeline("acme/shop", ci_file=text)
    wait_until((tmp_path / "on").exists, "the job runs")
    rig.gitlab.call("POST", f"{PROJECT}/pipelines/{pipeline_id}/cancel")
    wait_until(lambda: rig.jobs(pipeline_id)["job"]["status"] == "canceled", "the job is cancelled")


def test_a_real_runner_drains(rig: Rig, tmp_path: Path) -> None:
    text = f"job: {{tags: [nx-main], script: ['touch {tmp_path}/on', 'until test -e {tmp_path}/go; do sleep 0.1; done']}}\n"
    pipeline_id = rig.gitlab.start_pipeline("acme/shop", ci_file=text)
    wait_until((tmp_path / "on").exists, "the job runs")
    rig.runner.send_signal(signal.SIGQUIT)
    (tmp_path / "go").touch()
    assert rig.runner.wait(END_S) == 0
    assert rig.jobs(pipeline_id)["job"]["status"] == "success"

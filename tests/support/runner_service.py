"""`gitlab-runner run` of the stand-in, as a program on a host that a test makes up, and jobs for it."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING

from tests.support.gitlab.work_tree import WorkTree
from tests.support.processes import wait_until

if TYPE_CHECKING:
    import signal
    from pathlib import Path

    from tests.support.gitlab.server import StandIn

__all__ = ["API", "END_S", "PROJECT", "Service", "with_project"]

PROJECT = "acme/shop"
API = "/projects/acme%2Fshop"
END_S = 90.0


def with_project(gitlab: StandIn, folder: Path) -> None:
    """Make the project, with one commit."""
    gitlab.call("POST", "/projects", path=PROJECT)
    WorkTree.clone(gitlab, PROJECT, folder / "tree").commit({"README": "hello\n"})


class Service:
    """The program, its file, and its jobs."""

    def __init__(self, gitlab: StandIn, folder: Path, root: Path, *, image: str = "") -> None:
        """`image` is what jobs in containers run in; they carry the label `tests` with the `mark`."""
        self.image = image
        self.mark = uuid.uuid4().hex
        self.gitlab = gitlab
        self.file = folder / "etc/config.toml"
        self.file.parent.mkdir()
        self._root = root
        self._log = folder / "log"
        self._process: subprocess.Popen[bytes] | None = None

    def write(self, *entries: str, head: str = "") -> None:
        """Replace the file at one stroke."""
        new = self.file.with_suffix(".other")
        new.write_text("\n".join(["concurrent = 4", "check_interval = 1", head, *entries]), encoding="utf-8")
        new.replace(self.file)

    def entry(self, token: str, *, executor: str = "docker", more: str = "", **docker_keys: str) -> str:
        """An entry of the file."""
        lines = ["[[runners]]", 'name = "tests"', f'url = "{self.gitlab.url}"', f'token = "{token}"']
        lines += [f'executor = "{executor}"', more]
        if executor == "docker":
            keys = {
                "image": f'"{self.image}"',
                "pull_policy": '["never"]',
                "network_mode": '"none"',
                "container_labels": f'{{tests = "{self.mark}"}}',
            } | docker_keys
            lines += ["[runners.docker]", *(f"{key} = {value}" for key, value in keys.items())]
        return "\n".join(lines)

    def start(self) -> None:
        """Start it, and wait until it is up."""
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
        """What it has printed."""
        return self._log.read_text(encoding="utf-8") if self._log.exists() else ""

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self) -> int:
        """Wait for its end; the exit code."""
        assert self._process is not None
        return self._process.wait(END_S)

    def stop(self) -> None:
        """End it, if it runs."""
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
        """GitLab's word for how a job stands."""
        return str(self.gitlab.call("GET", f"{API}/jobs/{job_id}")["status"])

    def job_log(self, job_id: int) -> str:
        """What a job has printed."""
        return str(self.gitlab.api.get(f"{API}/jobs/{job_id}/trace").text)

    def until(self, job_id: int, *states: str) -> str:
        """Wait until a job is in one of these states; its log."""
        wait_until(
            lambda: self.status(job_id) in states, END_S, f"the job is {' or '.join(states)}\n{self.log}"
        )
        return self.job_log(job_id)

    def until_printed(self, job_id: int, text: str) -> None:
        """Wait until a job has printed something."""
        wait_until(lambda: text in self.job_log(job_id), END_S, f"the job prints {text}")

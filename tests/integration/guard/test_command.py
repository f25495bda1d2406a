"""`nx-dte guard` as jobs call it: with a coordinator of ours, with a GitLab, and with neither."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from click.testing import CliRunner

from nx_dte.cli import cli
from nx_dte.demo.coordinator import CoordinatorProcess
from tests.support.tcp_proxy import TcpProxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result
    from pytest_httpserver import HTTPServer

GUARD = [sys.executable, "-m", "nx_dte", "guard"]
pytestmark = pytest.mark.slow  # starts processes
PROMISE_S = 10.0
END_S = 20.0  # of a process, on a busy machine


@dataclass(slots=True, kw_only=True)
class Pipeline:
    """A pipeline as gitlab-ci-local runs it: random job ids, no job token, GITLAB_CI=false."""

    folder: Path
    variables: dict[str, str] = field(default_factory=dict)
    pipeline_id: str = "1007"

    def call(self, *arguments: str, job_id: str = "424242", **variables: str) -> Result:
        """The command in this process; its environment is the job's."""
        job = {
            "GITLAB_CI": "false",
            "CI_PIPELINE_ID": self.pipeline_id,
            "CI_JOB_ID": job_id,
            "CI_JOB_NAME": "nx-dte",
            "CI_COMMIT_SHA": "c0ffee",
            "CI_PROJECT_ID": "3",
            "CI_PROJECT_DIR": str(self.folder),
            "CI_JOB_STARTED_AT": "2026-03-01T12:00:00Z",
        }
        return CliRunner().invoke(cli, ["guard", *arguments], env={**job, **self.variables, **variables})

    def record(self) -> None:
        result = self.call("record")
        assert (result.exit_code, result.stderr) == (0, "")


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    """One whose guard job has run."""
    made = Pipeline(folder=tmp_path / "project")
    made.folder.mkdir()
    made.record()
    return made


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CoordinatorProcess]:
    """A coordinator of ours."""
    with CoordinatorProcess(folder=tmp_path_factory.mktemp("coordinator")) as started:
        yield started


@dataclass(slots=True, kw_only=True)
class CiRun:
    """Main and agents of one pipeline, as the light client speaks for them."""

    coordinator: CoordinatorProcess
    ci_id: str

    def ask(self, path: str, **body: Any) -> dict[str, Any]:
        answer = httpx2.post(
            f"{self.coordinator.url}/api/v1{path}",
            json=body,
            headers={"authorization": self.coordinator.read_write_token},
            timeout=30,
            trust_env=False,
        )
        assert answer.is_success, answer.text
        return dict(answer.json())

    def open(self, job_id: str) -> str:
        return str(self.ask("/ci-runs", ci_id=self.ci_id, job_id=job_id)["ci_run_id"])

    def join(self, name: str) -> str:
        return str(
            self.ask("/agents", agent_key=f"{self.ci_id}-{name}", ci_id=self.ci_id, name=name)["agent_id"]
        )

    def live(self, *, is_failed: bool) -> None:
        """A whole life: main, two agents, an end."""
        ci_run_id = self.open("31")
        agents = [self.join(name) for name in ("a1", "a2")]
        if is_failed:
            times = {"started_at": "2026-03-01T12:00:00Z", "ended_at": "2026-03-01T12:00:01Z"}
            self.ask(
                f"/ci-runs/{ci_run_id}/records",
                record_key="r",
                command="x",
                code=1,
                terminal_output="",
                **times,
            )
        self.ask(f"/ci-runs/{ci_run_id}/complete", reason="complete-ci-run")
        for agent in agents:
            self.ask(f"/agents/{agent}/leave", reason="run_ended")


@pytest.fixture
def ours(pipeline: Pipeline, coordinator: CoordinatorProcess, request: pytest.FixtureRequest) -> CiRun:
    """The pipeline points at the coordinator; every test has a pipeline of its own there."""
    ci_id = f"70-{request.node.name}"
    pipeline.pipeline_id = ci_id
    pipeline.record()
    pipeline.variables = coordinator.variables()
    return CiRun(coordinator=coordinator, ci_id=ci_id)


# ------------------------------------------------------------------------ a coordinator of ours
def test_the_first_main_job_and_its_agents_start(pipeline: Pipeline, ours: CiRun) -> None:
    for mode in ([], ["--mode", "strict"], ["--mode", "mirror"]):
        assert pipeline.call("check", "--role", "main", *mode).exit_code == 0
        assert pipeline.call("check", "--role", "agent", *mode).exit_code == 0
    ours.open("424242")
    assert pipeline.call("check", "--role", "agent").exit_code == 0


@pytest.mark.parametrize("is_failed", [False, True], ids=["green", "red"])
def test_only_main_again(pipeline: Pipeline, ours: CiRun, *, is_failed: bool) -> None:
    """gitlab-ci-local's way to retry: the same pipeline id, a new job id (smaller or greater), the artifact kept."""
    ours.live(is_failed=is_failed)
    strict = pipeline.call("check", "--role", "main", "--mode", "strict", job_id="7")
    assert strict.exit_code == 78
    assert "Only a part of this pipeline was retried" in strict.stderr
    assert "its 2 agents have ended" in strict.stderr
    assert "New pipeline" in strict.stderr
    mirror = pipeline.call("check", "--role", "main", job_id="7")
    assert mirror.exit_code == 0
    assert "runs its tasks itself" in mirror.stdout.replace("\n", " ")


def test_main_again_while_its_agents_are_there(pipeline: Pipeline, ours: CiRun) -> None:
    ours.open("31")
    ours.join("a1")
    strict = pipeline.call("check", "--role", "main", "--mode", "strict", job_id="7")
    assert (strict.exit_code, "taken over" in strict.stdout) == (0, True)


def test_an_agent_after_a_green_run_has_nothing_to_do(pipeline: Pipeline, ours: CiRun) -> None:
    ours.live(is_failed=False)
    result = pipeline.call("check", "--role", "agent", job_id="8")
    assert (result.exit_code, "nothing to do" in result.stderr) == (0, True)


def test_an_agent_after_a_red_run_waits_for_main_to_come_back(pipeline: Pipeline, ours: CiRun) -> None:
    ours.live(is_failed=True)
    process = subprocess.Popen(
        [*GUARD, "check", "--role", "agent"],
        env={**os.environ, **pipeline.variables, "CI_PIPELINE_ID": ours.ci_id, "PYTHONUNBUFFERED": "1"},
        cwd=pipeline.folder,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert "waiting up to" in process.stdout.readline()
        ours.open("32")
        assert process.wait(END_S) == 0
    finally:
        process.kill()
        process.communicate()


# -------------------------------------------------------------------------- GitLab and Nx Cloud
def gitlab(httpserver: HTTPServer, *, created_at: str, jobs: list[dict[str, Any]] | None) -> dict[str, str]:
    own = {"id": 424242, "created_at": created_at}
    httpserver.expect_request("/api/v4/job", headers={"JOB-TOKEN": "j"}).respond_with_json(own)
    address = "/api/v4/projects/3/pipelines/1007/jobs"
    if jobs is None:
        httpserver.expect_request(address).respond_with_json({"message": "403 Forbidden"}, status=403)
    else:
        httpserver.expect_request(address).respond_with_json(jobs)
    httpserver.expect_request("/api/v1/ci-runs").respond_with_json({}, status=404)  # a real Nx Cloud
    address = httpserver.url_for("")
    return {"CI_API_V4_URL": f"{address}/api/v4", "CI_JOB_TOKEN": "j", "NX_CLOUD_API": address}


def test_a_clone_by_the_job_token_alone(pipeline: Pipeline, httpserver: HTTPServer) -> None:
    pipeline.variables = gitlab(httpserver, created_at="2026-03-01T12:03:00.000Z", jobs=None)
    main = pipeline.call("check", "--role", "main")
    assert main.exit_code == 78
    assert "after the guard job #424242 had begun" in main.stderr
    assert pipeline.call("check", "--role", "agent").exit_code == 0
    assert pipeline.call("check", "--role", "main", "--mode", "off").exit_code == 0


def test_an_original_by_the_job_token_alone(pipeline: Pipeline, httpserver: HTTPServer) -> None:
    pipeline.variables = gitlab(httpserver, created_at="2026-03-01T11:59:00.000Z", jobs=None)
    assert pipeline.call("check", "--role", "main").exit_code == 0


def test_the_list_names_the_jobs_to_retry(pipeline: Pipeline, httpserver: HTTPServer) -> None:
    jobs = [
        {"id": 424242, "name": "nx-dte", "status": "running"},
        {"id": 12, "name": "nx-dte-agent 2/2", "status": "success"},
        {"id": 11, "name": "nx-dte-agent 1/2", "status": "success"},
        {"id": 10, "name": "nx-dte", "status": "failed"},
    ]
    pipeline.variables = gitlab(httpserver, created_at="2026-03-01T12:03:00.000Z", jobs=jobs)
    main = pipeline.call("check", "--role", "main")
    assert main.exit_code == 78
    assert "attempt 2" in main.stderr
    assert "retry jobs #11 #12 and then this one" in main.stderr


def test_an_agent_of_a_failed_main_mirrors_it(pipeline: Pipeline, httpserver: HTTPServer) -> None:
    jobs = [
        {"id": 10, "name": "nx-dte", "status": "failed"},
        {"id": 11, "name": "nx-dte-agent", "status": "running"},
    ]
    pipeline.variables = gitlab(httpserver, created_at="2026-03-01T11:59:00.000Z", jobs=jobs)
    agent = pipeline.call("check", "--role", "agent", job_id="11", CI_JOB_NAME="nx-dte-agent")
    assert agent.exit_code == 77


# ------------------------------------------------------------------------------- nobody answers
def test_a_network_that_swallows_everything_costs_ten_seconds_at_most(
    pipeline: Pipeline, coordinator: CoordinatorProcess
) -> None:
    with TcpProxy([("127.0.0.1", coordinator.port)]) as proxy:
        proxy.is_stalled = True
        pipeline.variables = {
            "NX_CLOUD_API": proxy.url,
            "CI_API_V4_URL": f"{proxy.url}/api/v4",
            "CI_JOB_TOKEN": "j",
            "NX_DTE_GITLAB_TOKEN": "p",
        }
        began = time.monotonic()
        result = pipeline.call("check", "--role", "main")
        took_s = time.monotonic() - began
    assert result.exit_code == 0, result.stderr
    assert "did not answer within" in result.stderr
    assert took_s < PROMISE_S


def test_a_record_of_another_pipeline_or_commit(pipeline: Pipeline) -> None:
    for role in ("main", "agent"):
        assert pipeline.call("check", "--role", role, CI_PIPELINE_ID="1008").exit_code == 78
        assert pipeline.call("check", "--role", role, CI_COMMIT_SHA="bad").exit_code == 78


def test_nothing_to_go_by(pipeline: Pipeline) -> None:
    (pipeline.folder / ".nx-dte" / "guard.json").unlink()
    main = pipeline.call("check", "--role", "main")
    assert (main.exit_code, "nx-dte guard record" in main.stderr) == (78, True)
    dotenv = (pipeline.folder / ".nx-dte" / "guard.env").read_text().splitlines()
    variables = dict(line.split("=", 1) for line in dotenv)
    assert pipeline.call("check", "--role", "main", **variables).exit_code == 0


# --------------------------------------------------------------------------------------- record
def test_record_never_fails(tmp_path: Path) -> None:
    (tmp_path / ".nx-dte").write_text("in the way")
    result = subprocess.run(
        [*GUARD, "record"], cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False
    )
    assert result.returncode == 0
    assert "cannot be written" in result.stderr


def test_record_writes_where_gitlab_takes_artifacts_from(pipeline: Pipeline) -> None:
    folder = pipeline.folder / "libs"
    folder.mkdir()
    subprocess.run(
        [*GUARD, "record"],
        cwd=folder,
        env={**os.environ, "CI_PROJECT_DIR": str(pipeline.folder), "CI_PIPELINE_ID": "5"},
        capture_output=True,
        timeout=50,
        check=True,
    )
    assert json.loads((pipeline.folder / ".nx-dte/guard.json").read_text())["pipeline_id"] == "5"


def test_what_is_recorded_is_no_source_of_the_workspace(pipeline: Pipeline) -> None:
    """Nx takes for a source what git does not ignore."""

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=pipeline.folder, capture_output=True, text=True, timeout=50, check=True
        ).stdout

    git("init", "--quiet")
    (pipeline.folder / "source.js").touch()
    pipeline.record()
    assert git("status", "--porcelain", "--untracked-files=all") == "?? source.js\n"

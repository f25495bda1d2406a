"""The guard in pipelines of a GitLab that retries as GitLab does. The coordinator is somebody else's: nobody answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

from nx_dte.cli import cli
from tests.integration.gitlab.conftest import gitlab, tree  # noqa: F401  # fixtures
from tests.integration.gitlab.driver import HandRunner, jobs_of, take_all

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result

    from tests.support.gitlab.server import StandIn
    from tests.support.gitlab.work_tree import WorkTree

pytestmark = pytest.mark.slow  # starts a server
PROJECT = "/projects/acme%2Fshop"
CI_FILE = """
stages: [affected]
nx-rerun-guard: {stage: .pre, script: [x]}
nx-dte: {stage: affected, needs: [nx-rerun-guard], script: [x]}
nx-dte-agent:
  stage: affected
  needs: [nx-rerun-guard]
  parallel: 2
  allow_failure: {exit_codes: [77]}
  script: [x]
"""
MAIN, AGENTS = "nx-dte", ("nx-dte-agent 1/2", "nx-dte-agent 2/2")


@dataclass(slots=True, kw_only=True)
class Pipeline:
    """A pipeline whose jobs run when the test says so; its guard has recorded."""

    gitlab: StandIn
    runner: HandRunner
    folder: Path
    is_listed: bool
    """Whether GitLab shows the list of jobs to a job's token."""
    pipeline_id: int = 0

    def start(self) -> dict[str, dict[str, Any]]:
        """The first run: the guard, then main and agents, as they were taken."""
        self.pipeline_id = self.gitlab.start_pipeline("acme/shop", ci_file=CI_FILE)
        guard = self.runner.take()
        assert self.guard(guard, "record").exit_code == 0
        self.runner.end(guard)
        taken = take_all(self.runner)
        self.gitlab.instance.let_pass(timedelta(minutes=5))
        return taken

    def guard(self, job: dict[str, Any], *arguments: str) -> Result:
        """`nx-dte guard` inside a job."""
        variables = {variable["key"]: variable["value"] for variable in job["variables"]}
        environment = {**variables, "CI_PROJECT_DIR": str(self.folder)}
        return CliRunner().invoke(cli, ["guard", *arguments], env=environment)

    def check(self, job: dict[str, Any], mode: str = "strict") -> Result:
        role = "main" if job["job_info"]["name"] == MAIN else "agent"
        return self.guard(job, "check", "--role", role, "--mode", mode)

    def end_red(self, jobs: dict[str, dict[str, Any]], agents_code: int) -> None:
        self.runner.end(jobs[MAIN], 1)
        for name in AGENTS:
            self.runner.end(jobs[name], agents_code)

    def retry_job(self, name: str) -> None:
        newest = [job for job in jobs_of(self.gitlab, self.pipeline_id) if job["name"] == name][-1]
        self.gitlab.call("POST", f"{PROJECT}/jobs/{newest['id']}/retry")

    def retry(self) -> None:
        self.gitlab.call("POST", f"{PROJECT}/pipelines/{self.pipeline_id}/retry")


@pytest.fixture(params=[True, False], ids=["jobs are listed", "jobs are not listed"])
def pipeline(
    request: pytest.FixtureRequest,
    gitlab: StandIn,  # noqa: F811  # the fixture imported above
    tree: WorkTree,  # noqa: F811
    tmp_path: Path,
) -> Pipeline:
    """On a GitLab that shows the list of jobs to a job's token, and on an older one."""
    assert tree.head
    gitlab.call("PUT", "/-/stand-in/settings", job_token_lists_jobs=request.param)
    runner = HandRunner(gitlab, gitlab.add_runner(run_untagged=True))
    return Pipeline(gitlab=gitlab, runner=runner, folder=tmp_path, is_listed=request.param)


def test_a_first_run_starts(pipeline: Pipeline) -> None:
    for name, job in pipeline.start().items():
        result = pipeline.check(job)
        assert result.exit_code == 0, (name, result.stderr)


def test_main_alone_is_refused(pipeline: Pipeline) -> None:
    jobs = pipeline.start()
    pipeline.end_red(jobs, agents_code=0)
    pipeline.retry()
    again = take_all(pipeline.runner)
    assert list(again) == [MAIN]
    result = pipeline.check(again[MAIN])
    assert result.exit_code == 78
    assert "Only a part of this pipeline was retried" in result.stderr
    assert pipeline.check(again[MAIN], "mirror").exit_code == 0


def test_a_retry_brings_back_agents_that_mirrored_their_main(pipeline: Pipeline) -> None:
    jobs = pipeline.start()
    pipeline.end_red(jobs, agents_code=77)
    pipeline.retry()
    again = take_all(pipeline.runner)
    assert set(again) == {MAIN, *AGENTS}
    codes = {name: pipeline.check(job).exit_code for name, job in again.items()}
    if pipeline.is_listed:
        assert codes == dict.fromkeys(again, 0)
    else:  # strict cannot know that the agents came with it
        assert codes == {MAIN: 78, **dict.fromkeys(AGENTS, 0)}
    assert all(pipeline.check(job, "mirror").exit_code == 0 for job in again.values())


def test_an_agent_retried_while_main_runs_starts(pipeline: Pipeline) -> None:
    jobs = pipeline.start()
    pipeline.runner.end(jobs[AGENTS[0]], 1)
    pipeline.retry_job(AGENTS[0])
    again = take_all(pipeline.runner)
    assert list(again) == [AGENTS[0]]
    assert pipeline.check(again[AGENTS[0]]).exit_code == 0
    assert pipeline.check(jobs[MAIN]).exit_code == 0


def test_an_agent_retried_after_the_end_does_as_main_did(pipeline: Pipeline) -> None:
    jobs = pipeline.start()
    pipeline.end_red(jobs, agents_code=77)
    pipeline.retry_job(AGENTS[0])
    agent = take_all(pipeline.runner)[AGENTS[0]]
    result = pipeline.check(agent)
    if pipeline.is_listed:
        assert result.exit_code == 77
    else:
        assert (result.exit_code, "leaves soon" in result.stdout) == (0, True)


def test_guard_and_main_retried_by_hand(pipeline: Pipeline) -> None:
    """The guard's new record is younger than the clone, so only the list of jobs tells."""
    jobs = pipeline.start()
    pipeline.end_red(jobs, agents_code=0)
    pipeline.retry()
    main = take_all(pipeline.runner)[MAIN]
    pipeline.retry_job("nx-rerun-guard")
    guard = take_all(pipeline.runner)["nx-rerun-guard"]
    assert pipeline.guard(guard, "record").exit_code == 0
    result = pipeline.check(main)
    assert result.exit_code == (78 if pipeline.is_listed else 0)

"""The rendered pipeline under gitlab-ci-local: one main job and three agents at once, and then main once more."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from nx_dte.demo.figures import tasks_per_agent
from tests.support.compare import Snapshot, differences, snapshot_tree
from tests.support.gitlab_ci_local import GitLabCiLocal
from tests.support.gitlab_stage import MAIN, rendered
from tests.support.processes import is_gone, wait_until

if TYPE_CHECKING:
    from nx_dte.demo.jobs import Job
    from nx_dte.demo.pipeline import Pipeline
    from tests.support.stage import Stage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

AGENTS = 3
REFUSED_WITHIN_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """The whole pipeline, and what is needed to run a part of it again."""

    job: Job
    local: GitLabCiLocal
    pipeline: Pipeline
    variables: dict[str, str]
    stage: Stage
    files: Snapshot
    """What main had in its checkout at the end."""

    @property
    def ci_run(self) -> dict[str, Any]:
        """The newest attempt."""
        found = re.search(r"this run of pipeline (\d+) begins", self.job.log)
        assert found is not None, self.job.log
        ci_run = self.stage.api(self.stage.coordinators[0]).ci_run(found[1])
        assert ci_run is not None
        return ci_run

    def main_again(self, name: str, **variables: str) -> Job:
        """Main alone: the same pipeline's id, another job's id, and the guard's artifact as it was."""
        return self.local.run(self.pipeline, name, MAIN, variables={**self.variables, **variables})


def outputs(local: GitLabCiLocal) -> Snapshot:
    """What is in main's checkout, without what tells of the run itself."""
    snapshot = snapshot_tree(local.checkout_of(MAIN))
    return {path: entry for path, entry in snapshot.items() if not path.startswith(".nx-dte")}


@pytest.fixture(scope="module")
def run(shared_stage: Stage) -> Run:
    """The file is a part of the change that the pipeline is for: `nx format:check` finds nothing to say about it."""
    stage = shared_stage
    origin = stage.origin()
    options = (
        "--guard",
        "job",
        "--install",
        "yarn install --frozen-lockfile",
        "--before-script",
        "node --version",
    )
    text = rendered(origin.path, "--agents", str(AGENTS), *options)
    origin = origin.commit({".gitlab-ci.yml": text, "tools/release.json": '{ "release": "1.5.0" }\n'})
    coordinator = stage.coordinator()
    variables = {
        **coordinator.variables(),
        "NX_DTE_EXAMPLE_PACE": "0.5",
        "NX_DTE_EXAMPLE_AGENTS": str(AGENTS),
        "CI_COMMIT_BEFORE_SHA": origin.base,
    }
    local = GitLabCiLocal.make(stage.layout, stage.folder / "local", origin)
    pipeline = stage.pipeline(origin, {})
    job = local.run(pipeline, "pipeline", variables=variables)
    files = outputs(local)
    return Run(job=job, local=local, pipeline=pipeline, variables=variables, stage=stage, files=files)


def test_the_pipeline_is_green(run: Run) -> None:
    assert run.job.process.returncode == 0
    passed = re.findall(r"^ PASS .*\] +(\S.*?) *$", run.job.log, re.MULTILINE)
    assert sorted(passed) == [
        MAIN,
        *(f"nx-dte-agent: [{n}/{AGENTS}]" for n in range(1, AGENTS + 1)),
        "nx-rerun-guard",
    ]


def test_every_agent_took_part(run: Run) -> None:
    assert run.ci_run["agents_joined"] == AGENTS
    tasks = run.stage.api(run.stage.coordinators[0]).task_runs(run.ci_run["ci_run_id"])
    counts = tasks_per_agent(tasks)
    assert len(counts) == AGENTS
    assert MAIN not in counts
    assert len(tasks) > 25


def test_only_gitlab_ci_local_itself_has_a_newer_node(run: Run) -> None:
    assert run.job.log.count("> v18.20.8") == 1 + AGENTS


def test_nothing_of_its_jobs_outlives_it(run: Run) -> None:
    wait_until(lambda: is_gone(run.local.clone), 15, "processes of the jobs are gone")


def test_main_again_is_refused_in_strict_mode(run: Run) -> None:
    job = run.main_again("strict", NX_DTE_GUARD_MODE="strict")
    assert job.process.returncode == 1
    assert " FAIL 78 " in job.log
    assert "Only a part of this pipeline was retried" in job.log
    assert "Run pipeline" in job.log
    began_at = job.wait_for_text("$ nx-dte orchestrate", 1).at
    assert job.ended_at is not None
    assert job.ended_at - began_at < REFUSED_WITHIN_S


def test_main_again_runs_to_a_correct_end_in_mirror_mode(run: Run) -> None:
    job = run.main_again("mirror", NX_DTE_GUARD_MODE="mirror", NX_DTE_JOIN_TIMEOUT="3")
    assert job.process.returncode == 0
    assert "This main job runs again" in job.log
    assert "attempt 2) is open" in job.log
    assert "[remote cache]" in job.log
    # One task is never cached, so somebody has to run it, and there is only main.
    assert "[nx-dte] done: docs:build (success)" in job.log
    assert differences(run.files, outputs(run.local)) == []

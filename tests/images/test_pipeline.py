"""The rendered pipeline in containers: gitlab-ci-local's docker executor, a coordinator beside it, one main and three agents."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from nx_dte.demo.figures import tasks_per_agent
from nx_dte.demo.layout import find_layout
from nx_dte.demo.pipeline import Pipeline
from tests.images.containers import complaints_in
from tests.images.jobs import TOKEN, Coordinator, Jobs
from tests.support.gitlab_ci_local import STATE, GitLabCiLocal
from tests.support.gitlab_stage import GUARD, MAIN, rendered

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nx_dte.demo.jobs import Job
    from tests.images.conftest import Built
    from tests.images.containers import Containers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

AGENTS = 3
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
# Jobs run as the image's own user, in images that are here.
DOCKER = ("--no-umask", "--pull-policy", "if-not-present")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A pipeline that has ended."""

    job: Job
    local: GitLabCiLocal
    coordinator: Coordinator


@pytest.fixture(scope="module")
def run(shared_containers: Containers, built: Built, warm: str, services: str) -> Iterator[Run]:
    """Jobs of the image with a warm cache, which install without a network of packages."""
    layout = find_layout(built.root)
    jobs = Jobs.prepare(shared_containers, layout, warm)
    coordinator = Coordinator.start(shared_containers, built.coordinator, network=jobs.network)
    text = rendered(
        jobs.origin.path,
        *("--agents", str(AGENTS), "--guard", "job", "--image", warm),
        *("--install", "yarn install --prefer-offline --frozen-lockfile"),
        # Four jobs begin at once: on a busy machine the doctor's questions may run out of time at first.
        *("--before-script", "for try in 1 2 3; do nx-dte doctor --role image && break; done"),
    )
    origin = jobs.origin.commit({".gitlab-ci.yml": text}).commit(
        {"tools/release.json": '{ "release": "1.5.0" }\n'}
    )
    variables = {
        "NX_CLOUD_API": "http://coordinator:8720",
        "NX_CLOUD_ACCESS_TOKEN": TOKEN,
        "NX_DTE_EXAMPLE_PACE": "0.3",
        "NX_DTE_EXAMPLE_AGENTS": str(AGENTS),
        "CI_COMMIT_BEFORE_SHA": origin.base,
    }
    local = GitLabCiLocal.make(layout, jobs.folder / "local", origin)
    with Pipeline(layout=layout, origin=origin, folder=jobs.folder, pipeline_id=jobs.pipeline_id) as pipeline:
        where = ("--network", jobs.network, "--helper-image", services)
        job = local.run(pipeline, "pipeline", *DOCKER, *where, variables=variables)
        yield Run(job=job, local=local, coordinator=coordinator)
    jobs.clear()


def test_it_is_green(run: Run) -> None:
    assert run.job.process.returncode == 0, run.job.log
    passed = re.findall(r"^ PASS .*\] +(\S.*?) *$", run.job.log, re.MULTILINE)
    assert sorted(passed) == [MAIN, *(f"nx-dte-agent: [{n}/{AGENTS}]" for n in range(1, AGENTS + 1)), GUARD]


def test_no_job_complains(run: Run) -> None:
    # Before each line of a job stand the time and the job; the rest is gitlab-ci-local's own.
    printed = re.findall(r"^\[[^\]]*\] .*?(?:>|\$) (.*)$", _COLOUR.sub("", run.job.log), re.MULTILINE)
    assert any("no problems, no notes" in line for line in printed)
    assert (
        complaints_in("\n".join(printed), [re.compile("You don't appear to have an internet connection")])
        == []
    )


def test_every_agent_took_part(run: Run) -> None:
    found = re.search(r"this run of pipeline (\d+) begins", run.job.log)
    assert found is not None, run.job.log
    ci_run = run.coordinator.api.ci_run(found[1])
    assert ci_run is not None
    counts = tasks_per_agent(run.coordinator.api.task_runs(ci_run["ci_run_id"]))
    assert len(counts) == AGENTS
    assert MAIN not in counts


def test_what_agents_built_is_among_mains_artifacts(run: Run) -> None:
    artifacts = run.local.clone.path / STATE / "artifacts" / MAIN / "dist"
    assert (artifacts / "apps/api/bin/api").stat().st_mode & 0o111
    assert (artifacts / "libs/util/latest.js").is_symlink()


def test_the_doctor_finds_nothing_in_the_jobs(run: Run) -> None:
    assert run.job.log.count("no problems, no notes") == 1 + AGENTS

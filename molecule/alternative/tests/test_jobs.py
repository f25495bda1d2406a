"""Jobs find their pool by tag, each with what its executor gives."""

from __future__ import annotations

import pytest

from tests.support.gitlab_remote import RemoteGitLab
from tests.support.gitlab_stage import StandInPipeline

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PROJECT = "shop/corner-shop"
HOST = "alternative-runner-1"
END_S = 120.0
ASK = """
const address = process.env.NX_CLOUD_API + '/readyz';
fetch(address).then(async (answer) => console.log('coordinator:', answer.status, await answer.text()));
"""
PIPELINE = f"""
in-a-container:
  tags: [dte-main]
  script:
    - echo "pool $POOL says $GREETING, proxy $HTTPS_PROXY"
    - node -e "{" ".join(ASK.split())}"
    - nx-dte --version
in-a-shell:
  tags: [tools]
  script:
    - echo "user $(id -un) on $(hostname)"
nobody-s:
  tags: [elastic]
  script: ["true"]
"""
PICKED = {"in-a-container": f"{HOST} main", "in-a-shell": f"the shell of {HOST}"}


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> StandInPipeline:
    gitlab = RemoteGitLab(url="http://10.91.3.10")
    tree = gitlab.clone(PROJECT, tmp_path_factory.mktemp("clone") / "shop")
    tree.commit({"README.md": "A shop.\n"})
    pipeline_id = gitlab.start_pipeline(PROJECT, ci_file=PIPELINE, source="push", sha=tree.head)
    pipeline = StandInPipeline(gitlab=gitlab, project=PROJECT, pipeline_id=pipeline_id)
    pipeline.wait(*PICKED, timeout_s=END_S)
    return pipeline


@pytest.mark.parametrize("name", PICKED)
def test_a_job_is_picked_by_its_tag(pipeline: StandInPipeline, name: str) -> None:
    row = pipeline.newest(name)
    assert row["status"] == "success", pipeline.log(row)
    assert row["runner"]["description"] == PICKED[name]


def test_a_job_in_a_container_reaches_the_coordinator_behind_its_own_certificate(
    pipeline: StandInPipeline,
) -> None:
    log = pipeline.log("in-a-container")
    assert "pool main says hello, proxy http://proxy.alternative.test:3128" in log
    assert "alternative/jobs:1" in log
    assert "coordinator: 200" in log


def test_a_job_of_the_shell_runs_on_the_host(pipeline: StandInPipeline) -> None:
    log = pipeline.log("in-a-shell")
    assert f"user gitlab-runner on {HOST}" in log


def test_no_other_pool_takes_the_job_of_a_paused_one(pipeline: StandInPipeline) -> None:
    assert pipeline.states()["nobody-s"] == "pending"

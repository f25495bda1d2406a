"""Rendered pipelines on the provisioned hosts: picked by tag, in the runner image, across both, and retried."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from nx_dte.demo.layout import find_layout
from nx_dte.demo.workspace import install_dependencies, make_origin
from tests.support.gitlab_remote import RemoteGitLab
from tests.support.gitlab_stage import GUARD, MAIN, StandInPipeline, rendered

if TYPE_CHECKING:
    from nx_dte.demo.workspace import Origin
    from tests.support.gitlab.work_tree import WorkTree


GITLAB = "http://10.91.2.10"
PROJECT = "shop/corner-shop"
READ_WRITE_TOKEN = "read-write-token-of-the-fleet"
RUNNERS = ("fleet-runner-1", "fleet-runner-2")
IMAGE = "10.91.2.20:5000/group/nx-dte/runner@sha256:"
END_S = 540.0
AGENTS = tuple(f"nx-dte-agent {number}/3" for number in (1, 2, 3))
INSTALL = "yarn install --offline --frozen-lockfile --silent"
# On a host: a job that finds it not there fails, and leaves it.
MARK = "/srv/marks/spent"


@pytest.fixture(scope="module")
def gitlab() -> RemoteGitLab:
    return RemoteGitLab(url=GITLAB)


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Origin:
    layout = find_layout()
    return make_origin(layout, tmp_path_factory.mktemp("origin"), install_dependencies(layout))


@pytest.fixture(scope="module")
def tree(gitlab: RemoteGitLab, origin: Origin, tmp_path_factory: pytest.TempPathFactory) -> WorkTree:
    """The example workspace as the project's main branch."""
    tree = gitlab.clone(PROJECT, tmp_path_factory.mktemp("clone") / "shop")
    tree.git("fetch", "--quiet", str(origin.path), f"commit-{origin.head[:12]}")
    tree.git("checkout", "--quiet", "-B", "main", origin.head)
    tree.push("--force")  # `molecule verify` may be run again
    return tree


def _start(
    gitlab: RemoteGitLab, tree: WorkTree, before: str, *options: str, **variables: str
) -> StandInPipeline:
    text = rendered(tree.folder, "--guard", "job", "--install", INSTALL, *options)
    given = {"NX_CLOUD_ACCESS_TOKEN": READ_WRITE_TOKEN, **variables}
    pipeline_id = gitlab.start_pipeline(
        PROJECT, ci_file=text, source="push", sha=tree.head, before_sha=before, variables=given
    )
    return StandInPipeline(gitlab=gitlab, project=PROJECT, pipeline_id=pipeline_id)


@pytest.fixture(scope="module")
def recipe(gitlab: RemoteGitLab, origin: Origin, tree: WorkTree) -> StandInPipeline:
    """Everything the recipe does, once."""
    agents = {"NX_DTE_EXAMPLE_PACE": "0.5", "NX_DTE_EXAMPLE_AGENTS": str(len(AGENTS))}
    pipeline = _start(gitlab, tree, origin.base, "--agents", str(len(AGENTS)), **agents)
    pipeline.wait(timeout_s=END_S)
    return pipeline


def _logs(pipeline: StandInPipeline) -> str:
    return "\n".join(f"--- {row['name']}, {row['status']}\n{pipeline.log(row)}" for row in pipeline.rows())


def test_the_recipes_run_is_green(recipe: StandInPipeline) -> None:
    assert recipe.states() == dict.fromkeys((GUARD, MAIN, *AGENTS), "success"), _logs(recipe)


def test_jobs_were_picked_by_their_tags(gitlab: RemoteGitLab, recipe: StandInPipeline) -> None:
    tags = {runner["id"]: runner["tag_list"] for runner in gitlab.runners()}
    picked = {row["name"]: tags[row["runner"]["id"]] for row in recipe.rows()}
    assert picked == {GUARD: ["nx-main"], MAIN: ["nx-main"], **{key: ["nx-agent"] for key in AGENTS}}


def test_the_run_went_across_the_hosts(recipe: StandInPipeline) -> None:
    hosts = {row["name"]: row["runner"]["description"].split()[0] for row in recipe.rows()}
    assert set(hosts.values()) == set(RUNNERS), hosts


def test_every_job_ran_in_the_runner_image(recipe: StandInPipeline) -> None:
    for row in recipe.rows():
        assert f"Using Docker executor with image {IMAGE}" in recipe.log(row)


def test_every_agent_took_part(recipe: StandInPipeline) -> None:
    log = recipe.log(MAIN)
    found = re.search(
        r"3 joined; tasks run: nx-dte-agent 1/3 (\d+), nx-dte-agent 2/3 (\d+), nx-dte-agent 3/3 (\d+)", log
    )
    assert found is not None, log
    assert all(int(count) > 0 for count in found.groups())


@pytest.fixture(scope="module")
def failed(gitlab: RemoteGitLab, tree: WorkTree) -> StandInPipeline:
    """A pipeline whose `util:test` fails on a host that has no mark yet."""
    fault = {"test": {"failOnce": MARK, "message": "told to fail"}}
    before = tree.head
    tree.commit({"libs/util/faults.json": json.dumps(fault)})
    pace = {"NX_DTE_EXAMPLE_PACE": "0", "NX_DTE_EXAMPLE_AGENTS": "2"}
    command = "nx run-many -t test -p util,data"
    pipeline = _start(
        gitlab, tree, before, "--agents", "2", "--no-record", "--artifact", "", "--command", command, **pace
    )
    pipeline.wait(timeout_s=END_S)
    return pipeline


def test_a_failed_main_turns_its_pipeline_red(failed: StandInPipeline) -> None:
    assert failed.newest(MAIN)["status"] == "failed", _logs(failed)
    assert "told to fail" in failed.log(MAIN)


def test_retry_works_on_these_hosts(failed: StandInPipeline) -> None:
    _mark_hosts()
    failed.retry()
    failed.wait(timeout_s=END_S)
    assert failed.newest(MAIN)["status"] == "success", _logs(failed)
    assert len(failed.rows(MAIN)) == 2
    assert len(failed.rows(GUARD)) == 1
    assert "attempt 2) is open" in failed.log(MAIN)


def _mark_hosts() -> None:
    for host in RUNNERS:
        subprocess.run(["docker", "exec", host, "touch", MARK], check=True, timeout=60)


def test_no_container_of_a_job_is_left(recipe: StandInPipeline, failed: StandInPipeline) -> None:
    del recipe, failed
    for host in RUNNERS:
        done: Any = subprocess.run(
            ["docker", "exec", host, "docker", "ps", "--quiet"],
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.stdout == "", f"{host} still runs {done.stdout}"

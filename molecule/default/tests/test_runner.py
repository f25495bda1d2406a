"""What an operator has who gave the address of GitLab, an API token and the package: a host that runs jobs by tag."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.support.gitlab_remote import RemoteGitLab
from tests.support.gitlab_stage import StandInPipeline

if TYPE_CHECKING:
    from pathlib import Path

    from testinfra.host import Host

testinfra_hosts = ["ansible://gitlab_runners"]

PROJECT = "shop/corner-shop"
END_S = 240.0
JOBS = """
main: {tags: [nx-main], script: [nx-dte --version, id -u, hostname, cat README]}
agent: {tags: [nx-agent], script: [node --version]}
foreign: {tags: [nowhere], script: [echo]}
"""


@pytest.fixture(scope="module")
def gitlab() -> RemoteGitLab:
    return RemoteGitLab(url="http://10.91.1.10")


@pytest.fixture(scope="module")
def pipeline(gitlab: RemoteGitLab, tmp_path_factory: pytest.TempPathFactory) -> StandInPipeline:
    """A pipeline whose jobs ask for the tags of both pools, and one for a tag that nobody has."""
    folder: Path = tmp_path_factory.mktemp("clone") / "shop"
    tree = gitlab.clone(PROJECT, folder)
    tree.commit({"README": "hello\n"}, is_pushed=False)
    tree.push("--force")
    pipeline_id = gitlab.start_pipeline(PROJECT, ci_file=JOBS)
    started = StandInPipeline(gitlab=gitlab, project=PROJECT, pipeline_id=pipeline_id)
    started.wait("main", "agent", timeout_s=END_S)
    return started


def test_jobs_are_done_by_the_host_whose_runners_have_their_tags(
    host: Host, gitlab: RemoteGitLab, pipeline: StandInPipeline
) -> None:
    assert pipeline.states() == {"main": "success", "agent": "success", "foreign": "pending"}, pipeline.log(
        "main"
    )
    name = host.check_output("hostname")
    picked = {row["name"]: row["runner"]["id"] for row in pipeline.rows() if row["name"] != "foreign"}
    runners = {runner["id"]: runner for runner in gitlab.runners()}
    for pool, runner_id in picked.items():
        assert runners[runner_id]["description"] == f"{name} {pool}"
        assert runners[runner_id]["tag_list"] == [f"nx-{pool}"]


def test_jobs_run_in_the_runner_image_as_its_user(pipeline: StandInPipeline) -> None:
    log = pipeline.log("main")
    assert re.search(r"Using Docker executor with image 10\.91\.1\.20:5000/nx-dte/runner@sha256:\w{64} ", log)
    assert re.search(r"^1000$", log, re.MULTILINE)
    assert "hello" in log
    assert re.search(r"^v18\.", pipeline.log("agent"), re.MULTILINE)


def test_jobs_leave_no_container(host: Host, pipeline: StandInPipeline) -> None:
    assert pipeline.states()["main"] == "success"
    assert host.check_output("docker ps --all --quiet") == ""


def test_the_host_is_well(host: Host) -> None:
    assert host.check_output("systemctl is-system-running") == "running"
    for name in ("docker", "gitlab-runner"):
        assert host.service(name).is_enabled
        assert host.service(name).is_running, host.run(f"journalctl -u {name} -n 30 --no-pager").stdout


@pytest.mark.parametrize(
    ("path", "mode"),
    [
        ("/etc/gitlab-runner", 0o700),
        ("/etc/gitlab-runner/config.toml", 0o600),
        ("/etc/gitlab-runner/tokens/main.json", 0o600),
        ("/etc/gitlab-runner/tokens/agent.json", 0o600),
    ],
)
def test_only_root_reads_what_holds_tokens(host: Host, path: str, mode: int) -> None:
    file = host.file(path)
    assert (file.user, file.mode) == ("root", mode)


def test_the_runners_version_stays(host: Host) -> None:
    assert host.package("gitlab-runner").version == "18.5.0"
    assert "gitlab-runner" in host.check_output("apt-mark showhold")

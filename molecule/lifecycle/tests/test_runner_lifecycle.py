"""A host becomes a runner, gets new tokens, loses one, is decommissioned, and becomes a runner again."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.gitlab_remote import RemoteGitLab
from tests.support.playbooks import play
from tests.support.processes import wait_until

if TYPE_CHECKING:
    from testinfra.host import Host

    from tests.support.playbooks import PlaybookRun

pytestmark = pytest.mark.timeout(900)
testinfra_hosts = ["ansible://gitlab_runners"]

GITLAB, PROJECT, NAME = "http://10.91.5.10", "shop/corner-shop", "lifecycle-runner-1"
POOLS = {"main": "nx-main", "agent": "nx-agent"}
JOB_S = 120.0
# A job that ends when there is a mark on the host.
JOBS = """
default:
  tags: [nx-main]
main:
  script: ["echo begun > /srv/marks/begun; until test -e /srv/marks/end; do sleep 0.2; done; echo main is done"]
agent:
  tags: [nx-agent]
  script: ["echo agent is done"]
variables:
  GIT_STRATEGY: none
"""


@pytest.fixture(scope="module")
def gitlab(tmp_path_factory: pytest.TempPathFactory) -> RemoteGitLab:
    """With a commit to make pipelines for."""
    gitlab = RemoteGitLab(url=GITLAB)
    gitlab.clone(PROJECT, tmp_path_factory.mktemp("clone") / "shop").commit({"README": "hello\n"})
    return gitlab


def _play(name: str, *options: str, **variables: Any) -> PlaybookRun:
    inventory = Path(os.environ["MOLECULE_INVENTORY_FILE"]).parent
    return play(name, inventory, "--limit", NAME, *options, variables=variables).insist()


def _start(host: Host, gitlab: RemoteGitLab) -> int:
    """A pipeline with a job of each kind; main runs until `_end`."""
    host.check_output("mkdir -p /srv/marks && chmod 0777 /srv/marks && rm -f /srv/marks/*")
    return gitlab.start_pipeline(PROJECT, ci_file=JOBS, source="web", ref="main")


def _end(host: Host, gitlab: RemoteGitLab, pipeline_id: int) -> None:
    """Let main end, and insist that both jobs ended well."""
    host.check_output("touch /srv/marks/end")
    path = f"/projects/{PROJECT.replace('/', '%2F')}/pipelines/{pipeline_id}"
    wait_until(
        lambda: gitlab.call("GET", path)["status"] in {"success", "failed"}, JOB_S, "the pipeline ends"
    )
    assert gitlab.call("GET", path)["status"] == "success", gitlab.call("GET", f"{path}/jobs")


def _insist_on_work(host: Host, gitlab: RemoteGitLab) -> None:
    _end(host, gitlab, _start(host, gitlab))


def _kept(host: Host) -> dict[str, dict[str, Any]]:
    """What the host keeps of each pool."""
    return {
        pool: json.loads(host.check_output(f"cat /etc/gitlab-runner/tokens/{pool}.json")) for pool in POOLS
    }


def _ids(gitlab: RemoteGitLab) -> dict[str, int]:
    return {runner["description"]: runner["id"] for runner in gitlab.runners()}


@pytest.fixture(scope="module")
def first(host: Host, gitlab: RemoteGitLab) -> dict[str, int]:
    """Ids of the runners of a provisioned host."""
    assert gitlab.runners() == []
    _play("runners.yml")
    ids = _ids(gitlab)
    assert ids == {f"{NAME} {pool}": entry["id"] for pool, entry in _kept(host).items()}
    return ids


def test_a_provisioned_host_runs_jobs_of_both_kinds(
    host: Host, gitlab: RemoteGitLab, first: dict[str, int]
) -> None:
    tags = {runner["description"]: runner["tag_list"] for runner in gitlab.runners()}
    assert tags == {f"{NAME} {pool}": [tag] for pool, tag in POOLS.items()}
    assert [len(gitlab.managers(number)) for number in first.values()] == [1, 1]
    _insist_on_work(host, gitlab)


def test_rotation_voids_the_old_tokens_and_spares_a_running_job(
    host: Host, gitlab: RemoteGitLab, first: dict[str, int]
) -> None:
    before = _kept(host)
    pipeline_id = _start(host, gitlab)
    wait_until(lambda: host.file("/srv/marks/begun").exists, JOB_S, "the job begins")

    run = _play("rotate-tokens.yml")

    after = _kept(host)
    assert {pool: entry["id"] for pool, entry in after.items()} == {
        pool: entry["id"] for pool, entry in before.items()
    }
    for pool in POOLS:
        assert after[pool]["token"] != before[pool]["token"]
        assert gitlab.api.post("/runners/verify", json={"token": before[pool]["token"]}).status_code == 403
        assert after[pool]["token"] in host.file("/etc/gitlab-runner/config.toml").content_string
        assert after[pool]["token"] not in run.output
    _end(host, gitlab, pipeline_id)
    assert _ids(gitlab) == first
    _insist_on_work(host, gitlab)


def test_a_lost_token_is_reset_and_no_second_runner_is_made(
    host: Host, gitlab: RemoteGitLab, first: dict[str, int]
) -> None:
    kept = _kept(host)
    host.check_output("rm -r /etc/gitlab-runner/tokens /etc/gitlab-runner/config.toml")
    run = _play("runners.yml", "--tags", "register,configure")
    assert f"reset the token of runner {kept['main']['id']}" in run.words
    assert _ids(gitlab) == first
    assert _kept(host)["main"]["token"] != kept["main"]["token"]
    assert _play("runners.yml", "--tags", "register").changed == {NAME: 0}


def test_other_settings_change_the_runner_that_is_there(gitlab: RemoteGitLab, first: dict[str, int]) -> None:
    agent = {
        "name": "agent",
        "tags": ["nx-agent", "big"],
        "limit": 2,
        "description": "the agents",
        "locked": True,
    }
    variables = {"gitlab_runner_pools": [{"name": "main", "tags": ["nx-main"], "limit": 1}, agent]}
    said = _play("runners.yml", "--tags", "register", "--check", **variables).words
    assert "give runner" in said
    assert _ids(gitlab) == first
    _play("runners.yml", "--tags", "register", **variables)
    changed = gitlab.call("GET", f"/runners/{first[f'{NAME} agent']}")
    assert (changed["description"], changed["locked"]) == ("the agents", True)
    assert sorted(changed["tag_list"]) == ["big", "nx-agent"]
    assert len(gitlab.runners()) == 2
    assert _play("runners.yml", "--tags", "register", **variables).changed == {NAME: 0}
    # And back.
    _play("runners.yml", "--tags", "register")
    assert _ids(gitlab) == first


def test_hosts_must_be_named_to_be_decommissioned(gitlab: RemoteGitLab, first: dict[str, int]) -> None:
    run = play("decommission.yml", Path(os.environ["MOLECULE_INVENTORY_FILE"]).parent)
    assert run.code != 0
    assert "Name them with --limit" in run.words
    assert _ids(gitlab) == first


def test_decommission_leaves_neither_manager_nor_runner_nor_files(
    host: Host, gitlab: RemoteGitLab, first: dict[str, int]
) -> None:
    foreign = gitlab.call(
        "POST", "/user/runners", runner_type="instance_type", description="somebody else's"
    )["id"]

    run = _play("decommission.yml")

    assert f"runner {first[f'{NAME} main']}" in run.words
    assert _ids(gitlab) == {"somebody else's": foreign}
    gitlab.call("DELETE", f"/runners/{foreign}")
    names = "-name '*gitlab-runner*' -o -name '*nx-dte*' -o -name '*nx_dte*'"
    left = host.check_output(
        f"find / -xdev \\( -path /proc -o -path /sys -o -path /var/log \\) -prune -o \\( {names} \\) -print"
    )
    assert left == ""
    assert host.run("dpkg-query --show 'gitlab-runner*'").rc != 0
    assert not host.user("gitlab-runner").exists
    assert host.run("docker ps --all --quiet && docker volume ls --quiet").stdout == ""
    assert host.run("systemctl is-system-running").stdout.strip() == "running"


def test_a_second_decommission_changes_nothing(gitlab: RemoteGitLab, first: dict[str, int]) -> None:
    assert first
    assert _play("decommission.yml").changed == {NAME: 0}
    assert gitlab.runners() == []


def test_the_host_can_become_a_runner_again(host: Host, gitlab: RemoteGitLab, first: dict[str, int]) -> None:
    _play("runners.yml")
    again = _ids(gitlab)
    assert again.keys() == first.keys()
    assert not set(again.values()) & set(first.values())
    _insist_on_work(host, gitlab)


def test_decommission_heals_where_files_are_half_gone_and_gitlab_knows_no_runner(
    host: Host, gitlab: RemoteGitLab
) -> None:
    ids = _ids(gitlab)
    gitlab.call("DELETE", f"/runners/{ids[f'{NAME} agent']}")
    host.check_output(
        "rm -rf /etc/gitlab-runner/tokens /etc/gitlab-runner/.runner_system_id /usr/local/sbin/nx-dte-drain"
    )
    _play("decommission.yml")
    assert gitlab.runners() == []
    assert not host.file("/etc/gitlab-runner").exists
    assert _play("decommission.yml").changed == {NAME: 0}

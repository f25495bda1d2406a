"""Pins move while a job runs: nothing is cut short, a host that fails stops the roll-out, and a rotated token stays."""

from __future__ import annotations

import json
import tomllib
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest
import testinfra

from tests.support.gitlab_remote import RemoteGitLab
from tests.support.processes import wait_until
from tests.support.role_playbooks import Playbook

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from testinfra.host import Host

    from tests.support.gitlab.work_tree import WorkTree

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

GITLAB = "http://10.91.4.10"
PROJECT = "shop/corner-shop"
FIRST, SECOND = "upgrade-runner-1", "upgrade-runner-2"
NEW = {"upgrade_pins": "new"}
MARK = "/srv/marks/go-on"
WAITING = f"[until test -e {MARK}; do sleep 0.2; done, echo the job has ended by itself]"
LOOK_S = 400.0
PACKAGES = ("gitlab-runner", "gitlab-runner-helper-images")


@pytest.fixture(scope="module")
def gitlab() -> RemoteGitLab:
    return RemoteGitLab(url=GITLAB)


@pytest.fixture(scope="module")
def hosts() -> dict[str, Host]:
    return {name: testinfra.get_host(f"docker://{name}") for name in (FIRST, SECOND)}


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("playbooks")


@pytest.fixture(scope="module")
def tree(gitlab: RemoteGitLab, tmp_path_factory: pytest.TempPathFactory) -> WorkTree:
    tree = gitlab.clone(PROJECT, tmp_path_factory.mktemp("clone") / "shop")
    tree.commit({"README": "hello\n"})
    return tree


def _start(gitlab: RemoteGitLab, tree: WorkTree, tag: str, script: str) -> dict[str, Any]:
    text = f"job: {{tags: [{tag}], script: {script}}}\n"
    pipeline = gitlab.start_pipeline(PROJECT, ci_file=text, source="push", sha=tree.head)
    (job,) = gitlab.call("GET", f"/projects/shop%2Fcorner-shop/pipelines/{pipeline}/jobs")
    return dict(job)


def _job(gitlab: RemoteGitLab, job: dict[str, Any]) -> dict[str, Any]:
    return dict(gitlab.call("GET", f"/projects/shop%2Fcorner-shop/jobs/{job['id']}"))


def _until(gitlab: RemoteGitLab, job: dict[str, Any], status: str) -> dict[str, Any]:
    wait_until(lambda: _job(gitlab, job)["status"] == status, LOOK_S, f"job {job['id']} is {status}")
    return _job(gitlab, job)


def _versions(host: Host) -> dict[str, str]:
    shown = host.check_output(
        "dpkg-query -W -f '${Package}=${Version} ${db:Status-Want}\\n' %s %s", *PACKAGES
    )
    return dict(line.split("=") for line in shown.splitlines())


def _config(host: Host) -> dict[str, Any]:
    return tomllib.loads(host.check_output("cat /etc/gitlab-runner/config.toml"))


def _unit(host: Host, name: str) -> str:
    return str(host.check_output("systemctl show --value -p %s gitlab-runner", name)).strip()


@pytest.fixture(scope="module")
def job(gitlab: RemoteGitLab, tree: WorkTree) -> dict[str, Any]:
    """A job that runs on the first host until the mark is there."""
    job = _start(gitlab, tree, "nx-main", WAITING)
    return _until(gitlab, job, "running")


@pytest.fixture(scope="module")
def stopped(job: dict[str, Any], logs: Path) -> Playbook:
    """A roll-out that has too little patience with the job."""
    del job
    return Playbook.run("upgrade", logs / "stopped.log", NEW | {"gitlab_runner_drain_timeout_s": "2"})


def test_a_host_that_fails_stops_the_roll_out(stopped: Playbook, hosts: dict[str, Host]) -> None:
    assert stopped.process.returncode != 0
    assert f"{FIRST}: gitlab-runner.service still has 1 running job" in stopped.output, stopped.output
    for host in hosts.values():
        assert _versions(host) == dict.fromkeys(PACKAGES, "18.5.0 hold")
    assert _unit(hosts[SECOND], "ActiveState") == "active"


def test_and_its_job_goes_on(stopped: Playbook, gitlab: RemoteGitLab, job: dict[str, Any]) -> None:
    del stopped
    assert _job(gitlab, job)["status"] == "running"


@pytest.fixture(scope="module")
def upgraded(
    stopped: Playbook, gitlab: RemoteGitLab, hosts: dict[str, Host], job: dict[str, Any], logs: Path
) -> Iterator[Playbook]:
    """The same again, with patience. The job ends only after the drain has been seen to wait for it."""
    del stopped
    run = Playbook.start("upgrade", logs / "upgrade.log", NEW)
    try:
        drains = "TASK [gitlab_runner : Take no new jobs, and wait for those that run]"
        wait_until(lambda: drains in run.output or run.is_over, LOOK_S, "the drain begins")
        # What it says about the job comes from the host, from within its loop.
        wait_until(lambda: run.output.count("ASYNC POLL") > 1 or run.is_over, LOOK_S, "the drain waits")
        assert not run.is_over, run.output
        assert _job(gitlab, job)["status"] == "running"
        assert _unit(hosts[FIRST], "ActiveState") == "deactivating"
        assert _versions(hosts[FIRST])["gitlab-runner"] == "18.5.0 hold"
        hosts[FIRST].check_output("touch %s", MARK)
        run.wait()
        yield run
    finally:
        run.end()


def test_the_drain_waits_for_the_running_job(
    upgraded: Playbook, gitlab: RemoteGitLab, hosts: dict[str, Host], job: dict[str, Any]
) -> None:
    assert upgraded.process.returncode == 0, upgraded.output
    ended = _job(gitlab, job)
    assert ended["status"] == "success"
    started = _unit(hosts[FIRST], "ActiveEnterTimestamp")
    seconds = float(hosts[FIRST].check_output("date --date %s +%%s", started))
    assert seconds >= int(datetime.fromisoformat(ended["finished_at"]).timestamp()), (
        started,
        ended["finished_at"],
    )


@pytest.mark.parametrize("name", [FIRST, SECOND])
def test_all_pins_have_moved_and_are_held(upgraded: Playbook, hosts: dict[str, Host], name: str) -> None:
    del upgraded
    host = hosts[name]
    assert _versions(host) == dict.fromkeys(PACKAGES, "18.6.0 hold")
    assert "18.6.0" in host.check_output("gitlab-runner --version")
    assert [entry["docker"]["image"] for entry in _config(host)["runners"]] == ["nx-dte-test/jobs:2"]
    assert host.service("gitlab-runner").is_running
    assert host.run("systemctl is-system-running").stdout.strip() == "running"


def test_only_hosts_that_need_it_are_drained(upgraded: Playbook, hosts: dict[str, Host], logs: Path) -> None:
    del upgraded
    processes = {name: _unit(host, "MainPID") for name, host in hosts.items()}
    again = Playbook.run("upgrade", logs / "again.log", NEW)
    assert again.changed() == {FIRST: 0, SECOND: 0}, again.output
    assert processes == {name: _unit(host, "MainPID") for name, host in hosts.items()}


@pytest.fixture(scope="module")
def rotated(upgraded: Playbook, gitlab: RemoteGitLab, hosts: dict[str, Host]) -> str:
    """A token that the second host's runner has rotated by itself, since it had come to three quarters of its life."""
    del upgraded
    host = hosts[SECOND]
    gitlab.call("PUT", "/-/stand-in/settings", runner_token_lifetime_s=30 * 86400)
    old = str(_config(host)["runners"][0]["token"])
    dates = r"token_obtained_at = 2026-01-01T00:00:00Z\ntoken_expires_at = 2026-01-01T01:00:00Z"
    edit = rf"/^token_/d; s/^executor = /{dates}\n&/"
    host.check_output("sed -i %s /etc/gitlab-runner/config.toml", edit)
    wait_until(
        lambda: _config(host)["runners"][0]["token"] != old, LOOK_S, "the runner has rotated its token"
    )
    return str(_config(host)["runners"][0]["token"])


def test_a_rotated_token_survives(rotated: str, hosts: dict[str, Host], logs: Path) -> None:
    host = hosts[SECOND]
    first = Playbook.run("runners", logs / "rotated.log", NEW)
    assert first.process.returncode == 0, first.output
    assert _config(host)["runners"][0]["token"] == rotated
    assert json.loads(host.check_output("cat /etc/gitlab-runner/tokens/agent.json"))["token"] == rotated
    assert rotated not in first.output
    second = Playbook.run("runners", logs / "kept.log", NEW)
    assert second.changed() == {FIRST: 0, SECOND: 0}, second.output
    assert _config(host)["runners"][0]["token"] == rotated


def test_and_jobs_run_with_it(rotated: str, gitlab: RemoteGitLab, tree: WorkTree) -> None:
    del rotated
    job = _start(gitlab, tree, "nx-agent", "[echo it works]")
    assert _until(gitlab, job, "success")["runner"]["description"] == f"{SECOND} agent"

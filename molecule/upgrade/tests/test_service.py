"""How the runner's service stops, and what keeps its host from filling up."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from testinfra.host import Host

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
testinfra_hosts = ["ansible://gitlab_runners"]


def test_a_stop_waits_for_jobs(host: Host) -> None:
    shown = host.check_output("systemctl show -p KillSignal,TimeoutStopUSec gitlab-runner").splitlines()
    assert "KillSignal=3" in shown, "SIGQUIT"
    assert "TimeoutStopUSec=2h 1min" in shown


def test_the_runner_may_not_change_its_host(host: Host) -> None:
    shown = host.check_output("systemctl show -p NoNewPrivileges,ProtectSystem gitlab-runner").splitlines()
    assert sorted(shown) == ["NoNewPrivileges=yes", "ProtectSystem=full"]


def test_the_host_is_pruned_from_time_to_time(host: Host) -> None:
    assert host.service("nx-dte-prune.timer").is_enabled
    assert host.service("nx-dte-prune.timer").is_running
    volumes = ("runner-old-project-1-concurrent-0-cache", "of-somebody-else")
    for name in volumes:
        host.check_output("docker volume create %s", name)
    old = "--settings /run/prune.json --state /run/prune/state.json"
    host.check_output('sed \'s/"max_age_h": .*,/"max_age_h": -1,/\' /etc/nx-dte/prune.json > /run/prune.json')
    said = host.check_output(f"nx-dte-prune {old}")
    assert f"removed volume {volumes[0]}" in said
    assert volumes[1] not in said
    image = json.loads(host.file("/etc/nx-dte/prune.json").content_string)["keep_images"][0]
    assert host.run("docker image inspect %s", image).succeeded, "the image of jobs stays, used or not"
    host.check_output("systemctl start nx-dte-prune.service")
    state = json.loads(host.file("/var/lib/nx-dte-prune/state.json").content_string)
    assert state["alarm"] is False
    assert state["free_bytes"]["/var/lib/docker"] > 0


def test_the_journal_has_a_limit(host: Host) -> None:
    assert "SystemMaxUse=1G" in host.file("/etc/systemd/journald.conf.d/nx-dte.conf").content_string

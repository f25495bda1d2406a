"""What the playbook made of the runners' hosts."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from testinfra.host import Host

testinfra_hosts = ["ansible://gitlab_runners"]

POOLS = ("main", "agent")


def _config(host: Host) -> dict[str, Any]:
    with host.sudo():
        return tomllib.loads(host.file("/etc/gitlab-runner/config.toml").content_string)


def test_services_run(host: Host) -> None:
    for name in ("docker", "gitlab-runner"):
        assert host.service(name).is_running, host.run(f"journalctl -u {name} -n 30 --no-pager").stdout
        assert host.service(name).is_enabled
    assert host.run("systemctl is-system-running").stdout.strip() == "running"


def test_config_has_both_pools_and_no_more_jobs_than_slots(host: Host) -> None:
    config = _config(host)
    assert config["concurrent"] == 3
    assert [entry["limit"] for entry in config["runners"]] == [1, 2]
    assert len({entry["token"] for entry in config["runners"]}) == 2
    for entry in config["runners"]:
        assert entry["docker"]["image"].startswith("10.91.2.20:5000/group/nx-dte/runner@sha256:")
        assert not entry["docker"].get("privileged")
        assert "NX_CLOUD_API=https://dte.test" in entry["environment"]


def test_only_root_reads_tokens(host: Host) -> None:
    assert host.file("/etc/gitlab-runner/config.toml").mode == 0o600
    for pool in POOLS:
        assert host.file(f"/etc/gitlab-runner/tokens/{pool}.json").mode == 0o600
    tokens = [entry["token"] for entry in _config(host)["runners"]]
    shown = host.file("/etc/gitlab-runner/config.redacted.toml").content_string
    assert not any(token in shown for token in tokens)


def test_metrics_are_for_the_host_itself(host: Host) -> None:
    assert host.socket("tcp://127.0.0.1:9252").is_listening
    assert not host.socket("tcp://0.0.0.0:9252").is_listening

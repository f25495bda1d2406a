"""What the bundle made of a host without a network: the engine, config.toml, the runners at GitLab."""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.gitlab_remote import RemoteGitLab

if TYPE_CHECKING:
    from testinfra.host import Host

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
testinfra_hosts = ["ansible://gitlab_runners"]

GITLAB = "http://10.91.3.10"
HOST = "alternative-runner-1"
POOLS = {"main": "docker", "agent": "docker", "shell": "shell", "elastic": "docker-autoscaler"}
PROXIES = (
    "HTTP_PROXY=http://proxy.alternative.test:3128",
    "NO_PROXY=localhost,127.0.0.1,10.91.3.10,10.91.3.30,dte.alternative.test",
)


@pytest.fixture(scope="module")
def config(host: Host) -> dict[str, Any]:
    return tomllib.loads(host.file("/etc/gitlab-runner/config.toml").content_string)


@pytest.fixture(scope="module")
def pools(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Name of the pool → its [[runners]] table."""
    return dict(zip(POOLS, config["runners"], strict=True))


@pytest.mark.parametrize("name", ["docker", "gitlab-runner", "nx-dte-prune.timer"])
def test_services_run(host: Host, name: str) -> None:
    assert host.service(name).is_running, host.run(f"journalctl -u {name} -n 30 --no-pager").stdout
    assert host.service(name).is_enabled
    assert host.run("systemctl --failed --plain --no-legend").stdout == ""


def test_no_archive_of_packages_was_asked(host: Host) -> None:
    assert host.run("cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null").stdout.strip() == ""
    assert host.run("dpkg-query --show --showformat '${db:Status-Status}\\n' | sort -u").stdout.split() == [
        "installed"
    ]


@pytest.mark.parametrize("package", ["docker.io", "docker-cli", "gitlab-runner"])
def test_versions_are_held(host: Host, package: str) -> None:
    assert host.package(package).is_installed
    assert package in host.run("apt-mark showhold").stdout.split()


def test_the_engine_is_the_one_of_the_variables(host: Host) -> None:
    daemon = json.loads(host.file("/etc/docker/daemon.json").content_string)
    assert daemon == {
        "data-root": "/var/lib/docker/engine",
        "dns": ["10.91.3.1"],
        "insecure-registries": ["10.91.3.20:5000"],
        "labels": ["site=alternative"],
        "live-restore": True,
        "log-driver": "json-file",
        "log-opts": {"max-file": "2", "max-size": "5m"},
        "max-concurrent-downloads": 2,
    }
    told = json.loads(host.run("docker info --format '{{json .}}'").stdout)
    assert (told["DockerRootDir"], told["Labels"], told["LiveRestoreEnabled"]) == (
        daemon["data-root"],
        daemon["labels"],
        True,
    )
    assert told["HttpProxy"] == "http://proxy.alternative.test:3128"
    assert (
        "BEGIN CERTIFICATE"
        in host.file("/etc/docker/certs.d/registry.alternative.test:5000/ca.crt").content_string
    )


def test_a_proxy_is_for_root_to_read(host: Host) -> None:
    file = host.file("/etc/docker/nx-dte-proxy.env")
    assert (file.mode, file.user) == (0o600, "root")
    assert "proxy.alternative" not in host.run("systemctl show docker --property=Environment").stdout


def test_images_came_from_files(host: Host) -> None:
    found = host.run("docker images --format '{{.Repository}}:{{.Tag}}'").stdout.split()
    assert {"alternative/jobs:1", "nx-dte/runner:node18", "nx-dte-test/helper:18.5.0"} <= set(found)
    assert host.run("find /var/cache/nx-dte -name '*.tar'").stdout == ""


def test_config_is_that_of_the_variables(config: dict[str, Any]) -> None:
    told = {
        key: config[key]
        for key in ("concurrent", "check_interval", "log_level", "listen_address", "connection_max_age")
    }
    assert told == {
        "concurrent": 9,
        "check_interval": 1,
        "log_level": "debug",
        "listen_address": "127.0.0.1:9253",
        "connection_max_age": "5m0s",
    }


def test_every_pool_has_its_executor_limit_and_token(pools: dict[str, dict[str, Any]]) -> None:
    assert {name: table["executor"] for name, table in pools.items()} == POOLS
    assert [table["limit"] for table in pools.values()] == [1, 2, 1, 4]
    assert len({table["token"] for table in pools.values()}) == len(POOLS)


def test_jobs_get_variables_proxies_and_the_certificate(pools: dict[str, dict[str, Any]]) -> None:
    for table in pools.values():
        given = set(table["environment"])
        assert {"GREETING=hello", "NX_CLOUD_API=https://dte.alternative.test:8443", *PROXIES} <= given
    assert "POOL=main" in pools["main"]["environment"]
    assert any(item.startswith("NX_DTE_EXTRA_CA=") for item in pools["agent"]["environment"])
    assert pools["agent"]["docker"]["extra_hosts"] == ["dte.alternative.test:10.91.3.30"]


def test_what_a_pool_says_itself_is_there(pools: dict[str, dict[str, Any]]) -> None:
    agent = pools["agent"]
    assert (agent["output_limit"], agent["feature_flags"]["FF_TIMESTAMPS"]) == (8192, False)
    assert agent["docker"]["memory"] == "2g"
    assert "/srv/shared:/srv/shared:ro" in agent["docker"]["volumes"]
    assert agent["docker"]["helper_image"] == "nx-dte-test/helper:18.5.0"
    assert "docker" not in pools["shell"]


def test_the_autoscaler_is_the_documented_one(pools: dict[str, dict[str, Any]]) -> None:
    table = pools["elastic"]["autoscaler"]
    assert table == {
        "plugin": "aws",
        "capacity_per_instance": 2,
        "max_instances": 3,
        "max_use_count": 20,
        "delete_instances_on_shutdown": True,
        "plugin_config": {"name": "nx-dte-agents", "region": "eu-central-1"},
        "connector_config": {"username": "runner", "use_external_addr": False},
        "policy": [
            {"idle_count": 2, "idle_time": "20m0s"},
            {
                "periods": ["* 7-19 * * mon-fri"],
                "timezone": "Europe/Berlin",
                "idle_count": 4,
                "idle_time": "40m0s",
            },
        ],
    }
    assert pools["elastic"]["cache"]["s3"]["BucketName"] == "jobs"
    assert pools["elastic"]["docker"]["image"] == "alternative/jobs:1"


def test_gitlab_knows_every_pool() -> None:
    runners = {runner["description"]: runner for runner in RemoteGitLab(url=GITLAB).runners()}
    assert sorted(runners) == sorted(
        [f"{HOST} main", f"{HOST} agent", f"{HOST} elastic", f"the shell of {HOST}"]
    )
    told = {
        name: (
            sorted(row["tag_list"]),
            row["paused"],
            row["run_untagged"],
            row["locked"],
            row["access_level"],
            row["maximum_timeout"],
        )
        for name, row in runners.items()
    }
    assert told == {
        f"{HOST} main": (["corner-shop", "dte-main"], False, False, False, "not_protected", 1800),
        f"{HOST} agent": (["dte-agent"], False, False, False, "ref_protected", 3600),
        f"the shell of {HOST}": (["tools"], False, True, True, "not_protected", 3600),
        f"{HOST} elastic": (["elastic"], True, False, False, "not_protected", 3600),
    }
    assert {row["runner_type"] for row in runners.values()} == {"project_type"}


def test_the_unit_waits_for_jobs(host: Host) -> None:
    shown = host.run("systemctl show gitlab-runner --property=KillSignal --property=TimeoutStopUSec").stdout
    assert set(shown.split()) == {"KillSignal=3", "TimeoutStopUSec=15min"}


def test_the_alarm_is_where_the_exporter_looks(host: Host) -> None:
    done = host.run("systemctl start nx-dte-prune.service")
    assert done.rc == 0, host.run("journalctl -u nx-dte-prune -n 30 --no-pager").stdout
    assert host.run("ls /var/lib/node-exporter/*.prom").rc == 0

"""config.toml of the role gitlab_runner: what is built from the variables, and what is refused."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.support.role_code import code_of

ROLE = Path(__file__).resolve().parents[2] / "roles/gitlab_runner"
IMAGE = "registry.example.org/nx-dte/runner@sha256:" + "a" * 64
TOKENS = {"main": "glrt-" + "m" * 20, "agent": "glrt-" + "a" * 20}


CONFIG = code_of("gitlab_runner/filter_plugins/gitlab_runner_config.py")
TEXT = code_of("gitlab_runner/filter_plugins/gitlab_runner_toml.py")


def settings(**changed: Any) -> dict[str, Any]:
    return {
        "host": "runner-1",
        "url": "https://gitlab.example.org",
        "pools": [
            {"name": "main", "tags": ["nx-main"], "limit": 1},
            {"name": "agent", "tags": ["nx-agent"], "limit": 5},
        ],
        "agents_per_pipeline": 3,
        "concurrent": 0,
        "image": IMAGE,
        "listen_address": "127.0.0.1:9252",
        "check_interval": 3,
        "log_level": "info",
        "shutdown_timeout_s": 30,
        "feature_flags": {"FF_NETWORK_PER_BUILD": True},
    } | changed


def pool(**keys: Any) -> list[dict[str, Any]]:
    return [{"name": "agent", "tags": ["nx-agent"], "limit": 3, **keys}]


def built(**changed: Any) -> dict[str, Any]:
    registered = [
        {"pool": "main", "id": 1, "token": TOKENS["main"], "token_obtained_at": "2026-11-25T10:00:00Z"},
        {"pool": "agent", "id": 2, "token": TOKENS["agent"], "token_expires_at": ""},
    ]
    text = TEXT.to_toml(CONFIG.config(settings(**changed), registered))
    return tomllib.loads(text)


def only_runner(**keys: Any) -> dict[str, Any]:
    entries = built(pools=pool(**keys))["runners"]
    assert len(entries) == 1
    return dict(entries[0])


def problems(**changed: Any) -> list[str]:
    return list(CONFIG.config_problems(settings(**changed)))


def test_each_pool_has_its_token_limit_and_name() -> None:
    config = built()
    assert config["concurrent"] == 6
    assert [(entry["name"], entry["token"], entry["limit"]) for entry in config["runners"]] == [
        ("runner-1 main", TOKENS["main"], 1),
        ("runner-1 agent", TOKENS["agent"], 5),
    ]
    assert config["runners"][0]["token_obtained_at"].isoformat() == "2026-11-25T10:00:00+00:00"
    assert "token_expires_at" not in config["runners"][1]


@pytest.mark.parametrize(
    ("limit", "asked", "expected"), [(1, None, 1), (2, None, 2), (5, None, 3), (5, 1, 1)], ids=str
)
def test_all_agents_of_a_pipeline_are_asked_for_at_once(limit: int, asked: int | None, expected: int) -> None:
    assert only_runner(limit=limit, request_concurrency=asked)["request_concurrency"] == expected


def test_jobs_are_hardened_unless_somebody_says_otherwise() -> None:
    docker = only_runner()["docker"]
    assert docker["privileged"] is False
    assert docker["allowed_images"] == [IMAGE]
    assert docker["allowed_services"] == ["none"]
    assert docker["pull_policy"] == ["if-not-present"]
    assert docker["security_opt"] == ["no-new-privileges:true"]
    assert "NET_RAW" in docker["cap_drop"]
    loose = only_runner(docker={"allowed_services": None, "privileged": True})["docker"]
    assert loose["privileged"] is True
    assert "allowed_services" not in loose


def test_the_pool_wins_over_the_host() -> None:
    entries = built(docker={"memory": "4g", "cpus": "2"}, pools=pool(docker={"memory": "8g"}, image="own:1"))[
        "runners"
    ]
    assert entries[0]["docker"]["memory"] == "8g"
    assert entries[0]["docker"]["cpus"] == "2"
    assert entries[0]["docker"]["allowed_images"] == ["own:1"]


def test_jobs_learn_of_the_coordinator_its_ca_and_the_proxies() -> None:
    entry = built(
        coordinator_url="https://dte.example.org",
        job_ca_file="/etc/nx-dte/job-ca.pem",
        proxy={"http": "http://proxy:3128", "no_proxy": "dte.example.org"},
        environment={"A": 1, "B": True},
        extra_hosts=["dte.example.org:10.0.0.30"],
        pools=pool(environment={"A": "pool"}, docker={"volumes": ["/srv:/srv"]}),
    )["runners"][0]
    assert entry["environment"] == [
        "NX_CLOUD_API=https://dte.example.org",
        "NX_DTE_EXTRA_CA=/etc/nx-dte/job-ca.pem",
        "HTTP_PROXY=http://proxy:3128",
        "http_proxy=http://proxy:3128",
        "NO_PROXY=dte.example.org",
        "no_proxy=dte.example.org",
        "A=pool",
        "B=true",
    ]
    assert entry["docker"]["volumes"] == ["/srv:/srv", "/etc/nx-dte/job-ca.pem:/etc/nx-dte/job-ca.pem:ro"]
    assert entry["docker"]["extra_hosts"] == ["dte.example.org:10.0.0.30"]


def test_instances_of_an_autoscaler_get_the_ca_itself() -> None:
    entry = built(
        job_ca_file="/etc/nx-dte/job-ca.pem",
        job_ca_pem="-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----",
        pools=pool(executor="docker-autoscaler", autoscaler={"plugin": "aws"}),
    )["runners"][0]
    assert entry["environment"][0].startswith("NX_DTE_EXTRA_CA=-----BEGIN CERTIFICATE-----\n")
    assert entry["docker"]["volumes"] == ["/cache"]
    assert entry["autoscaler"]["plugin"] == "aws"


def test_a_shell_has_no_docker_table() -> None:
    assert "docker" not in only_runner(executor="shell")


@pytest.mark.parametrize(
    "extra",
    [{"output_limit": 8192, "docker": {"shm_size": 1}}, "output_limit = 8192\n[docker]\nshm_size = 1"],
)
def test_extra_is_merged_last(extra: Any) -> None:
    entry = only_runner(extra=extra)
    assert entry["output_limit"] == 8192
    assert entry["docker"]["shm_size"] == 1
    assert entry["docker"]["image"] == IMAGE


def test_global_extra_is_merged_too() -> None:
    config = built(extra="connection_max_age = '20m'\n[session_server]\nsession_timeout = 60")
    assert config["connection_max_age"] == "20m"
    assert config["session_server"] == {"session_timeout": 60}


def test_bad_toml_is_told_by_pool_and_line() -> None:
    (problem,) = problems(pools=pool(extra="output_limit = 1\n[docker\nshm_size = 1"))
    assert "pool 'agent'" in problem
    assert "Correct line 2: [docker" in problem


AUTOSCALER = {"plugin": "aws", "max_instances": 2, "capacity_per_instance": 2}


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (
            {"docker": {"pull_polcy": ["never"]}},
            "docker: unknown key 'pull_polcy'. Did you mean 'pull_policy'?",
        ),
        ({"requst_concurrency": 1}, "unknown key 'requst_concurrency'. Did you mean 'request_concurrency'?"),
        ({"cache": {"type": "s3"}}, "cache: unknown key 'type'. Did you mean 'Type'?"),
        ({"executor": "shell", "docker": {"image": "x"}}, "executor shell has no [runners.docker]"),
        ({"executor": "kubernetes"}, "executor 'kubernetes' is not one of docker, shell"),
        ({"autoscaler": AUTOSCALER}, "executor docker does not scale"),
        ({"executor": "instance"}, "autoscaler lacks plugin, max_instances, capacity_per_instance"),
        ({"executor": "instance", "autoscaler": AUTOSCALER, "limit": 5}, "limit 5 is more than"),
        (
            {"executor": "instance", "autoscaler": AUTOSCALER | {"policy": [{"idle_cont": 1}]}},
            "autoscaler.policy 1: unknown key 'idle_cont'. Did you mean 'idle_count'?",
        ),
        ({"name": "a b"}, "a name has letters, digits, - and _ only"),
        ({"extra": "[runners.docker]\nshm_size = 1"}, "write [docker], not [runners.docker]"),
        ({"extra": {"token": "x"}}, "no 'token' there"),
        ({"extra": 3}, "neither a mapping nor TOML text"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_with_a_pool_is_said(keys: dict[str, Any], expected: str) -> None:
    (problem,) = problems(pools=pool(**keys))
    assert expected in problem


def test_other_mistakes_are_said() -> None:
    assert "no image for its jobs" in problems(image="", pools=pool())[0]
    assert "stands there 2 times" in problems(pools=pool() + pool())[0]
    assert "describe runners in gitlab_runner_pools" in problems(extra="[[runners]]\nname = 'x'")[0]


def test_documented_autoscaler_keys_are_known() -> None:
    scaling = AUTOSCALER | {
        "max_use_count": 1,
        "instance_ready_command": "true",
        "update_interval": "10s",
        "delete_instances_on_shutdown": True,
        "plugin_config": {"name": "group", "anything": {"goes": 1}},
        "connector_config": {"os": "linux", "username": "admin", "use_external_addr": False},
        "scale_throttle": {"limit": 5, "burst": 10},
        "state_storage": {"enabled": True},
        "policy": [
            {"idle_count": 2, "idle_time": "20m0s", "scale_factor": 1.5, "periods": ["* 7-19 * * mon-fri"]},
        ],
    }
    pools = pool(executor="docker-autoscaler", autoscaler=scaling)
    assert problems(pools=pools) == []
    assert built(pools=pools)["runners"][0]["autoscaler"] == scaling


def test_good_variables_have_no_problems() -> None:
    assert problems() == []

"""What the role docker_engine makes of an engine that is there, and of a new daemon.json."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.role_code import code_of

ENGINE = code_of("docker_engine/library/nx_dte_engine.py")
WANTED = {"docker.io": "", "iptables": ""}
DPKG = (
    "docker.io\t20.10.24+dfsg1-1+deb12u1\thold\tinstalled\n"
    "iptables\t1.8.9-2\tinstall\tinstalled\n"
    "docker-ce\t5:26.1.4-1\tdeinstall\tconfig-files\n"
)


def test_dpkg_s_lines_are_read() -> None:
    versions, held = ENGINE.installed(DPKG)
    assert versions == {"docker.io": "20.10.24+dfsg1-1+deb12u1", "iptables": "1.8.9-2"}
    assert held == ["docker.io"]


@pytest.mark.parametrize(
    ("version", "missing"),
    [("", []), ("20.10.24+dfsg1-1+deb12u1", []), ("20.10.*", []), ("26.1.*", ["docker.io"])],
)
def test_a_package_of_another_version_is_missing(version: str, missing: list[str]) -> None:
    versions, _ = ENGINE.installed(DPKG)
    assert ENGINE.missing({"docker.io": version, "iptables": ""}, versions) == missing
    assert ENGINE.missing({"docker-cli": ""}, versions) == ["docker-cli"]


@pytest.mark.parametrize(
    ("there", "dockerd", "asked_by", "says"),
    [
        ({}, "", "", ""),
        ({"docker.io": "20"}, "/usr/sbin/dockerd", "docker_engine_packages", ""),
        ({"docker-ce": "26"}, "/usr/bin/dockerd", "", ""),
        ({"docker-ce": "26"}, "/usr/bin/dockerd", "docker_engine_packages", "apt-get remove docker-ce"),
        ({}, "/usr/local/bin/dockerd", "", "belongs to none"),
        ({"podman-docker": "4"}, "", "", "apt-get remove podman-docker"),
    ],
)
def test_an_engine_that_is_there_is_used_or_refused(
    there: dict[str, str], dockerd: str, asked_by: str, says: str
) -> None:
    problems = ENGINE.conflict(WANTED, asked_by, there, dockerd)
    assert says in problems[0] if says else problems == []


@pytest.mark.parametrize(
    ("before", "data_root", "refused"),
    [
        ({}, "/var/lib/docker", False),
        ({"data-root": "/srv/docker/"}, "/srv/docker", False),
        ({"data-root": "/srv/docker"}, "/var/lib/docker", True),
        ({}, "/srv/docker", True),
    ],
)
def test_images_and_volumes_are_never_hidden(
    before: dict[str, Any], data_root: str, *, refused: bool
) -> None:
    assert bool(ENGINE.moved(before, data_root)) == refused


@pytest.mark.parametrize(
    ("before", "after", "action"),
    [
        ({"debug": True}, {"debug": True}, ""),
        ({}, {"live-restore": True}, "reload"),
        ({"insecure-registries": ["a"]}, {"insecure-registries": ["b"], "debug": True}, "reload"),
        ({"debug": True}, {"dns": ["10.0.0.1"]}, "restart"),
        ({"log-opts": {"max-size": "10m"}}, {"log-opts": {"max-size": "20m"}}, "restart"),
    ],
)
def test_a_restart_only_where_reading_again_does_not_do(
    before: dict[str, Any], after: dict[str, Any], action: str
) -> None:
    assert ENGINE.following(before, after)[1] == action

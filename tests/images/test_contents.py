"""What is in the images, and what is not."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import pytest
import testinfra  # type: ignore[import-untyped]  # it ships no types

from toolchain.images.build import runner_image
from toolchain.images.docker import docker, image_size

if TYPE_CHECKING:
    from testinfra.host import Host  # type: ignore[import-untyped]

    from tests.images.conftest import Built
    from tests.images.containers import Containers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # the first of them builds the images

MB = 1_000_000
BUILD_TOOLS = ("gcc", "cc", "g++", "make", "cmake", "pip", "pip3", "node-gyp")


@pytest.fixture(scope="module")
def runner(built: Built, shared_containers: Containers) -> Host:
    """A job's container that does nothing, without a network."""
    container = shared_containers.start(built.runner, "sleep", "infinity")
    return testinfra.get_host(f"docker://{container.name}")


@pytest.fixture(scope="module")
def coordinator(built: Built, shared_containers: Containers) -> Host:
    container = shared_containers.start(built.coordinator)
    container.wait_for("listening on")
    return testinfra.get_host(f"docker://{container.name}")


def test_a_job_has_its_tools_without_a_network(runner: Host, built: Built) -> None:
    tools = built.versions.tools
    assert runner.check_output("node --version").startswith("v18.20.")
    assert runner.check_output("yarn --version").startswith(tools["yarn"])
    assert runner.check_output("cd /tmp && pnpm --version") == tools["pnpm"]
    assert runner.check_output("npm --version")
    assert runner.check_output("git --version").startswith("git version 2.")
    major, minor = re.findall(r"\d+", runner.check_output("python3 --version"))[:2]
    assert (int(major), int(minor)) >= (3, 11)
    assert re.fullmatch(r"nx-dte, version \S+", runner.check_output("nx-dte --version"))


def test_the_doctor_finds_nothing_to_fix(runner: Host) -> None:
    found = runner.run("nx-dte doctor --role image")
    assert (found.rc, found.stderr) == (0, "")
    assert "no problems, no notes" in found.stdout


def test_the_images_say_which_version_they_are(built: Built) -> None:
    for image in (built.runner, built.coordinator):
        version = docker(
            "image",
            "inspect",
            image,
            "--format",
            '{{index .Config.Labels "org.opencontainers.image.version"}}',
        )
        assert image.partition(":")[2].startswith(version)


@pytest.mark.parametrize(("name", "uid"), [("runner", 1000), ("coordinator", 10001)])
def test_nobody_is_root_and_tini_is_the_first_process(
    name: str, uid: int, request: pytest.FixtureRequest
) -> None:
    host: Host = request.getfixturevalue(name)
    assert host.user().uid == uid
    assert host.check_output("cat /proc/1/comm") == "tini"
    assert host.check_output("cat /proc/1/cmdline").split("\0")[:2] == ["/usr/bin/tini", "--"]
    assert host.environment()["LANG"] == "C.UTF-8"


@pytest.mark.parametrize("name", ["runner", "coordinator"])
def test_no_build_tool_and_no_certificate_is_set(name: str, request: pytest.FixtureRequest) -> None:
    host: Host = request.getfixturevalue(name)
    assert [tool for tool in BUILD_TOOLS if host.exists(tool)] == []
    for module in ("pip", "ensurepip", "setuptools"):
        for python in ("python3", "/opt/nx-dte/bin/python"):
            assert host.run(f"{python} -c 'import {module}'").rc != 0, (python, module)
    variables = host.environment()
    assert [name for name in variables if "CERT" in name or "CA_" in name] == []


@pytest.mark.parametrize("name", ["runner", "coordinator"])
def test_nothing_that_a_build_needs_for_a_while_is_left(
    built: Built, containers: Containers, name: str
) -> None:
    search = (
        "find /tmp /var/tmp /var/lib/apt/lists /var/cache/apt /root /home /build /usr/local/share/ca-certificates "
        "-type f -not -name '.bash*' -not -name .profile -not -name lock 2>/dev/null || true"
    )
    assert containers.output(getattr(built, name), "sh", "-c", search, options=["--user", "0"]) == ""


def test_a_certificate_of_the_build_stays_in_the_build(built: Built) -> None:
    for image in (built.runner, built.coordinator):
        history = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", image)
        assert "nx-dte-entrypoint" in history
        assert "CERTIFICATE" not in history


@pytest.mark.parametrize("name", ["runner", "coordinator"])
def test_only_public_certificates_are_in_an_image(built: Built, containers: Containers, name: str) -> None:
    trusted = "grep -hc BEGIN /etc/ssl/certs/ca-certificates.crt"
    public = "find /usr/share/ca-certificates -name '*.crt' | wc -l"
    said = containers.output(getattr(built, name), "sh", "-c", f"{trusted}; {public}").split()
    assert int(said[0]) == int(said[1]) > 100
    kept = [line for line in built.certificates.splitlines() if line and not line.startswith("-----")]
    if kept:  # this machine's network looks into TLS
        search = f"grep -rlF {shlex.quote(kept[1])} /etc /home /opt /root /tmp /usr /var || true"
        assert containers.output(getattr(built, name), "sh", "-c", search, options=["--user", "0"]) == ""


def test_the_owner_of_the_coordinators_data_is_whom_it_runs_as(coordinator: Host) -> None:
    data = coordinator.file("/var/lib/nx-dte")
    assert (data.uid, data.gid, data.mode) == (10001, 10001, 0o700)
    assert coordinator.check_output("id -u; id -g; id -gn").split() == ["10001", "10001", "nx-dte"]


def test_the_entrypoint_is_short_and_becomes_the_command(runner: Host) -> None:
    lines = runner.file("/usr/local/bin/nx-dte-entrypoint").content_string.splitlines()
    assert len(lines) <= 40
    assert lines[-1] == 'exec "$@"'


def test_the_programs_of_the_image_belong_to_root(runner: Host) -> None:
    for path in ("/opt/nx-dte/bin/nx-dte", "/opt/pnpm/package.json", "/usr/local/bin/nx-dte-entrypoint"):
        assert runner.file(path).user == "root"
    assert runner.check_output("find /opt /usr/local -xdev -writable -not -type l 2>/dev/null || true") == ""


def test_the_images_are_small(built: Built) -> None:
    bases = built.versions.bases
    for image, base, budget in (
        (built.runner, bases["node18"].name, 150),
        (built.coordinator, bases["python"].name, 120),
    ):
        more = image_size(image) - image_size(base)
        assert more <= budget * MB


@pytest.mark.parametrize("major", ["20", "22"])
def test_other_majors_of_node(built: Built, containers: Containers, major: str) -> None:
    name = built.build(runner_image(built.versions, major))
    said = containers.output(
        name, "sh", "-c", "node --version; yarn --version; cd /tmp && pnpm --version; nx-dte --version"
    )
    assert said.startswith(f"v{major}.")
    assert image_size(name) - image_size(built.versions.bases[f"node{major}"].name) <= 150 * MB

"""Python, Node, git and package managers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nx_dte.doctor.facts import Program
from nx_dte.doctor.findings import Status
from nx_dte.doctor.role import Role
from nx_dte.doctor.versions import version_of
from nx_dte.nx_commands import Runner
from tests.unit.doctor.healthy import WORKSPACE, found, healthy, program

OK, NOTE, PROBLEM = Status.OK, Status.NOTE, Status.PROBLEM


@pytest.mark.parametrize(("version", "status"), [((3, 10, 14), PROBLEM), ((3, 11, 0), OK), ((3, 14, 1), OK)])
def test_python(version: tuple[int, int, int], status: Status) -> None:
    assert found("python", healthy(python=version)).status is status


@pytest.mark.parametrize(
    ("node", "nx", "status", "words"),
    [
        ("18.20.8", "20.8.4", OK, "18.20.8"),
        ("22.1.0", "20.8.4", OK, "22.1.0"),
        ("16.20.2", "20.8.4", PROBLEM, "older than 18"),
        ("16.20.2", None, PROBLEM, "older than 18"),
        ("18.20.8", "21.6.11", NOTE, "Nx 21 is made for Node 20.19"),
        ("20.11.0", "22.0.1", NOTE, "Nx 22 is made for Node 20.19"),
        ("20.20.2", "24.0.6", OK, "20.20.2"),
        ("18.20.8", None, OK, "18.20.8"),
    ],
)
def test_node(node: str, nx: str | None, status: Status, words: str) -> None:
    workspace = replace(WORKSPACE, nx_version=nx)
    finding = found("node", healthy(workspace=workspace, programs={"node": program("node", node)}))
    assert (finding.status, words in finding.found) == (status, True)


@pytest.mark.parametrize(("role", "status"), [(Role.MAIN, PROBLEM), (Role.IMAGE, PROBLEM), (Role.HOST, NOTE)])
@pytest.mark.parametrize("name", ["node", "git"])
def test_a_missing_program_is_a_problem_but_on_a_host(name: str, role: Role, status: Status) -> None:
    finding = found(name, healthy(role, programs={name: Program(name=name)}))
    assert (finding.status, "not on PATH" in finding.found) == (status, True)


@pytest.mark.parametrize("name", ["node", "git"])
def test_a_program_that_does_not_run(name: str) -> None:
    """It is named with its own complaint."""
    silent = program(name, None, "exec format error")
    finding = found(name, healthy(programs={name: silent}))
    assert (finding.status, "exec format error" in finding.found) == (PROBLEM, True)


@pytest.mark.parametrize(("role", "status"), [(Role.MAIN, NOTE), (Role.AGENT, NOTE), (Role.IMAGE, PROBLEM)])
@pytest.mark.parametrize("name", ["node", "git"])
def test_who_is_late_on_a_busy_machine_is_no_reason_to_end_a_job(
    name: str, role: Role, status: Status
) -> None:
    late = replace(program(name, None, "it did not end within 11 s"), is_late=True)
    finding = found(name, healthy(role, programs={name: late}))
    assert (finding.status, "did not end" in finding.found) == (status, True)


@pytest.mark.parametrize(("version", "status"), [("2.30.2", NOTE), ("2.31.0", OK), ("2.51.0", OK)])
def test_git(version: str, status: Status) -> None:
    assert found("git", healthy(programs={"git": program("git", version)})).status is status


@pytest.mark.parametrize("manager", Runner)
def test_the_lock_files_package_manager_is_there(manager: Runner) -> None:
    workspace = replace(WORKSPACE, manager=manager)
    assert found("package_manager", healthy(workspace=workspace)).status is OK
    wanted = "npm" if manager is Runner.NPX else manager.value
    finding = found("package_manager", healthy(workspace=workspace, programs={wanted: Program(name=wanted)}))
    assert (finding.status, f"{wanted} is not on PATH" in finding.found) == (PROBLEM, True)


def test_a_stub_that_would_download_is_a_problem() -> None:
    stub = program("yarn", None, "Network access disabled by the environment")
    finding = found("package_manager", healthy(programs={"yarn": stub}))
    assert (finding.status, "Network access disabled" in finding.found) == (PROBLEM, True)


def test_no_lock_file() -> None:
    finding = found("package_manager", healthy(workspace=replace(WORKSPACE, manager=None)))
    assert (finding.status, "no lock file" in finding.found) == (PROBLEM, True)


@pytest.mark.parametrize(
    ("named", "brings_yarn", "status"),
    [
        ("yarn@4.5.0", False, NOTE),
        ("yarn@4.5.0", True, OK),
        ("yarn@1.22.19", False, OK),
        ("pnpm@9.0.0", False, OK),
        ("yarn", False, OK),
        (None, False, OK),
    ],
)
def test_another_major_than_package_json_names(named: str | None, brings_yarn: bool, status: Status) -> None:  # noqa: FBT001
    workspace = replace(WORKSPACE, named_manager=named, brings_yarn=brings_yarn)
    assert found("package_manager", healthy(workspace=workspace)).status is status


@pytest.mark.parametrize("name", ["yarn", "npm", "pnpm"])
def test_an_image_has_every_package_manager(name: str) -> None:
    assert found(name, healthy(Role.IMAGE)).status is OK
    assert found(name, healthy(Role.IMAGE, programs={})).status is PROBLEM
    stub = {name: program(name, None, "it did not end within 8 s")}
    assert found(name, healthy(Role.IMAGE, programs=stub)).status is PROBLEM


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("v18.20.8", (18, 20, 8)),
        ("git version 2.39.5", (2, 39, 5)),
        ("Version:      17.5.0\nGit revision: 123abc", (17, 5, 0)),
        ("20.8.4-beta.1", (20, 8, 4)),
        ("22", (22,)),
        ("unknown", None),
        (None, None),
    ],
)
def test_versions(text: str | None, version: tuple[int, ...] | None) -> None:
    assert version_of(text) == version

"""The machine, the image, and the host."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from nx_dte.doctor.facts import EngineFact, FolderFact, LocaleFact, Program
from nx_dte.doctor.findings import Status
from nx_dte.doctor.role import Role
from tests.unit.doctor.healthy import GIB, MACHINE, ROOMY, found, healthy, program

OK, NOTE, PROBLEM = Status.OK, Status.NOTE, Status.PROBLEM
SOCKET = "unix:///var/run/docker.sock"


@pytest.mark.parametrize(
    ("locale", "in_job", "in_image"),
    [
        (LocaleFact(variable="LANG", value="C.UTF-8"), OK, OK),
        (LocaleFact(variable="LC_ALL", value="de_DE.utf8"), OK, OK),
        (LocaleFact(variable="LANG", value="de_DE.UTF-8@euro"), OK, OK),
        (LocaleFact(variable="LANG", value="POSIX"), NOTE, PROBLEM),
        (LocaleFact(variable="LANG", value="de_DE.ISO-8859-1"), NOTE, PROBLEM),
        (LocaleFact(variable="LANG", value="de_DE.UTF-8", is_known=False), NOTE, PROBLEM),
        (LocaleFact(), NOTE, PROBLEM),
    ],
)
def test_locale(locale: LocaleFact, in_job: Status, in_image: Status) -> None:
    machine = replace(MACHINE, locale=locale)
    assert found("locale", healthy(machine=machine)).status is in_job
    assert found("locale", healthy(Role.IMAGE, machine=machine)).status is in_image


@pytest.mark.parametrize(
    ("folder", "status", "words"),
    [
        (ROOMY, OK, "writable"),
        (FolderFact(path=Path("/x"), is_there=False), PROBLEM, "not there"),
        (
            FolderFact(path=Path("/x"), is_writable=False, problem="Read-only file system"),
            PROBLEM,
            "Read-only",
        ),
    ],
)
def test_home_and_temp(folder: FolderFact, status: Status, words: str) -> None:
    for check_id, machine in (
        ("home", replace(MACHINE, home=folder)),
        ("temp", replace(MACHINE, temp=folder)),
    ):
        finding = found(check_id, healthy(machine=machine))
        assert (finding.status, words in finding.found) == (status, True)


def test_no_home() -> None:
    finding = found("home", healthy(machine=replace(MACHINE, home=None)))
    assert (finding.status, "HOME is not set" in finding.found) == (PROBLEM, True)


@pytest.mark.parametrize(
    ("folder", "status", "words"),
    [
        (ROOMY, OK, "checkout 80.0 GiB"),
        (replace(ROOMY, free_bytes=GIB), NOTE, "1.00 GiB"),
        (replace(ROOMY, free_bytes=GIB // 10), PROBLEM, "0.10 GiB"),
        (replace(ROOMY, free_inodes=40_000), NOTE, "40000 inodes"),
        (replace(ROOMY, free_inodes=100), PROBLEM, "100 inodes"),
        (replace(ROOMY, free_inodes=0, total_inodes=0), OK, "GiB"),  # a file system without a limit
        (replace(ROOMY, free_bytes=0, free_inodes=0), PROBLEM, "0 inodes"),
    ],
)
def test_space(folder: FolderFact, status: Status, words: str) -> None:
    finding = found("space", healthy(machine=replace(MACHINE, build_folders=(folder,))))
    assert (finding.status, words in finding.found) == (status, True)


@pytest.mark.parametrize(("is_reaping", "status"), [(True, OK), (False, PROBLEM), (None, NOTE)])
def test_init(is_reaping: bool | None, status: Status) -> None:  # noqa: FBT001
    finding = found("init", healthy(machine=replace(MACHINE, is_reaping=is_reaping)))
    assert finding.status is status
    assert "tini" in str(finding.remedy) or not finding.remedy


def test_a_doctor_that_is_process_1_itself_says_nothing_of_jobs() -> None:
    finding = found("init", healthy(machine=replace(MACHINE, is_init=True, is_reaping=None)))
    assert (finding.status, finding.found.startswith("not checked")) == (NOTE, True)


@pytest.mark.parametrize(("uid", "status"), [(1000, OK), (0, NOTE)])
def test_user(uid: int, status: Status) -> None:
    assert found("user", healthy(Role.IMAGE, machine=replace(MACHINE, uid=uid))).status is status


@pytest.mark.parametrize(
    ("engine", "has_client", "status", "words"),
    [
        (EngineFact(address=SOCKET, has_socket=True, version="28.0.1"), True, OK, "28.0.1"),
        (EngineFact(address=SOCKET, has_socket=False), False, NOTE, "no engine"),
        (EngineFact(address=SOCKET, has_socket=True), False, NOTE, "there is a socket"),
        (EngineFact(address=SOCKET, has_socket=False), True, NOTE, "no socket"),
        (
            EngineFact(address=SOCKET, has_socket=True, problem="permission denied"),
            True,
            PROBLEM,
            "may not use",
        ),
        (
            EngineFact(address=SOCKET, has_socket=True, problem="is it running?"),
            True,
            PROBLEM,
            "is it running?",
        ),
        (EngineFact(address="tcp://10.0.0.1:2376", problem="timeout"), True, PROBLEM, "timeout"),
        (None, True, NOTE, "not checked"),
    ],
)
def test_docker(engine: EngineFact | None, has_client: bool, status: Status, words: str) -> None:  # noqa: FBT001
    client = program("docker", "28.0.1") if has_client else Program(name="docker")
    finding = found("docker", healthy(Role.HOST, engine=engine, programs={"docker": client}))
    assert (finding.status, words in finding.found) == (status, True)


@pytest.mark.parametrize(
    ("runner", "status"),
    [
        (program("gitlab-runner", "17.5.0"), OK),
        (Program(name="gitlab-runner"), NOTE),
        (program("gitlab-runner", None, "killed"), PROBLEM),
    ],
)
def test_gitlab_runner(runner: Program, status: Status) -> None:
    assert found("gitlab_runner", healthy(Role.HOST, programs={"gitlab-runner": runner})).status is status

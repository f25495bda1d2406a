"""The checkout, its history, and the folders that a job writes in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from nx_dte.doctor.facts import CheckoutFacts, FolderFact
from nx_dte.doctor.findings import Status
from nx_dte.doctor.role import Role
from tests.unit.doctor.healthy import CHECKOUT, ENVIRON, MACHINE, ROOT, found, healthy

OK, NOTE, PROBLEM = Status.OK, Status.NOTE, Status.PROBLEM
ZEROS = "0" * 40


def test_a_checkout_that_git_refuses_gets_the_line_that_helps() -> None:
    dubious = CheckoutFacts(
        root=ROOT, owner_uid=0, problem="detected dubious ownership in repository at '/builds/demo'"
    )
    finding = found("checkout", healthy(checkout=dubious))
    assert finding.status is PROBLEM
    assert "belongs to user 0, this is user 1000" in finding.found
    assert "git config --global --add safe.directory /builds/demo" in str(finding.remedy)


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"problem": "not a git repository"}, PROBLEM, "not a git repository"),
        ({"changed_files": 2}, NOTE, "its commit (2)"),
        ({"changed_files": None}, OK, "c0ffee"),
        ({"head": None}, OK, "no commit"),
    ],
)
def test_checkout(change: dict[str, object], status: Status, words: str) -> None:
    finding = found("checkout", healthy(checkout=replace(CHECKOUT, **change)))  # type: ignore[arg-type]
    assert (finding.status, words in finding.found) == (status, True)


@pytest.mark.parametrize("check_id", ["checkout", "origin", "history", "commit"])
def test_without_a_checkout_nothing_is_wrong(check_id: str) -> None:
    finding = found(check_id, healthy(checkout=None))
    assert (finding.status, finding.found.startswith("not checked")) == (NOTE, True)


def test_history() -> None:
    assert found("history", healthy()).status is OK
    finding = found("history", healthy(checkout=replace(CHECKOUT, is_shallow=True, commits=20)))
    assert (finding.status, "the last 20 commits" in finding.found) == (NOTE, True)
    assert "GIT_DEPTH" in str(finding.remedy)


def test_origin() -> None:
    asked = replace(CHECKOUT, is_origin_asked=True)
    assert found("origin", healthy(checkout=asked)).status is OK
    finding = found("origin", healthy(checkout=replace(asked, origin_problem="could not resolve host")))
    assert (finding.status, "could not resolve host" in finding.found) == (PROBLEM, True)


@pytest.mark.parametrize(
    ("environ", "status", "words"),
    [
        ({}, OK, "CI_COMMIT_BEFORE_SHA is bbb"),
        ({"CI_COMMIT_BEFORE_SHA": ZEROS}, NOTE, "all zeros"),
        ({"CI_COMMIT_BEFORE_SHA": ZEROS, "CI_MERGE_REQUEST_DIFF_BASE_SHA": "a" * 40}, OK, "merge request"),
        ({"CI_COMMIT_BEFORE_SHA": ZEROS, "NX_BASE": "main"}, OK, "NX_BASE is main"),
        ({"NX_BASE": ZEROS}, NOTE, "NX_BASE is all zeros"),
        ({"CI_COMMIT_BEFORE_SHA": None}, NOTE, "not checked"),
    ],
)
def test_base(environ: dict[str, str | None], status: Status, words: str) -> None:
    finding = found("base", healthy(environ=environ))
    assert (finding.status, words in finding.found) == (status, True)


@pytest.mark.parametrize(("sha", "status"), [(ENVIRON["CI_COMMIT_SHA"], OK), ("d" * 40, NOTE), (None, NOTE)])
def test_commit(sha: str | None, status: Status) -> None:
    assert found("commit", healthy(environ={"CI_COMMIT_SHA": sha})).status is status


def test_a_build_folder_of_another_user() -> None:
    """What a runner leaves behind when its helper once worked under another umask."""
    beside = FolderFact(path=Path("/builds/demo.tmp"), is_writable=False, owner_uid=0, mode=0o755)
    machine = replace(MACHINE, build_folders=(*MACHINE.build_folders, beside))
    finding = found("build_folder", healthy(machine=machine))
    assert finding.status is PROBLEM
    assert "user 1000 cannot write in /builds/demo.tmp (owner 0, mode 0755)" in finding.found
    assert "gitlab_runner_env: Permission denied" in str(finding.remedy)


def test_many_such_folders_are_counted() -> None:
    refusing = tuple(FolderFact(path=Path(f"/builds/{name}"), is_writable=False) for name in "abcde")
    finding = found("build_folder", healthy(machine=replace(MACHINE, build_folders=refusing)))
    assert "/builds/c (owner None) and 2 more" in finding.found


@pytest.mark.parametrize(
    ("umask", "status"), [(0o022, OK), (0, OK), (0o077, OK), (0o777, PROBLEM), (0o200, PROBLEM), (None, OK)]
)
def test_umask(umask: int | None, status: Status) -> None:
    assert found("build_folder", healthy(machine=replace(MACHINE, umask=umask))).status is status


@pytest.mark.parametrize(
    ("uid", "trusted", "status"),
    [
        (1000, ("*",), OK),
        (1000, ("/builds/demo",), OK),
        (1000, (), PROBLEM),
        (1000, ("*", ""), PROBLEM),
        (1000, ("", "*"), OK),
        (0, (), OK),
        (1000, None, NOTE),
    ],
)
def test_an_images_git_trusts_roots_checkouts(
    uid: int, trusted: tuple[str, ...] | None, status: Status
) -> None:
    facts = healthy(Role.IMAGE, machine=replace(MACHINE, uid=uid), trusted_checkouts=trusted)
    assert found("safe_directory", facts).status is status

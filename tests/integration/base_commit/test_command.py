"""`nx-dte resolve-base` as a job calls it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.base_commit.conftest import ENVIRON, git
from tests.support.processes import processes_at, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.integration.base_commit.conftest import Checkout, Remote

    MakeCheckout = Callable[..., Checkout]

COMMAND = [sys.executable, "-m", "nx_dte", "resolve-base"]
NOBODY = 65534


def called(folder: Path, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *options],
        cwd=folder,
        env={**os.environ, **ENVIRON, **variables},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


@pytest.fixture
def push(remote: Remote, checkout: MakeCheckout) -> tuple[Checkout, dict[str, str], str]:
    """A push of two commits to main: the clone, the job's variables, and the right base."""
    before = remote.tip()
    head = remote.commit("main", 2)
    variables = {
        "CI_COMMIT_SHA": head,
        "CI_COMMIT_BEFORE_SHA": before,
        "CI_COMMIT_BRANCH": "main",
        "CI_DEFAULT_BRANCH": "main",
    }
    return checkout(head, ref="refs/remotes/origin/main"), variables, before


def test_the_shell_can_use_it(push: tuple[Checkout, dict[str, str], str]) -> None:
    clone, variables, before = push
    result = called(clone.folder, **variables)
    assert result.returncode == 0, result.stderr
    assert result.stdout == f"export NX_BASE={before}\nexport NX_HEAD={variables['CI_COMMIT_SHA']}\n"
    assert "[before]" in result.stderr
    script = 'eval "$1" && node() { echo "$NX_BASE"; } && node'
    evaluated = subprocess.run(
        ["bash", "-c", script, "bash", result.stdout], capture_output=True, text=True, timeout=10, check=True
    )
    assert evaluated.stdout.strip() == before


def test_a_program_can_use_it(push: tuple[Checkout, dict[str, str], str]) -> None:
    clone, variables, before = push
    found = json.loads(called(clone.folder, "--format", "json", **variables).stdout)
    assert (found["base"], found["head"], found["rule"]) == (before, variables["CI_COMMIT_SHA"], "before")


def test_below_the_checkouts_top_folder(push: tuple[Checkout, dict[str, str], str]) -> None:
    clone, variables, before = push
    folder = clone.folder / "libs" / "ui"
    folder.mkdir(parents=True)
    assert before in called(folder, **variables).stdout


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that other users can get to, unlike those of pytest."""
    with tempfile.TemporaryDirectory(prefix="nx-dte-test-") as name:
        yield Path(name)


def refused_by_git(folder: Path, **variables: str) -> bool:
    result = subprocess.run(
        ["git", "status"],
        cwd=folder,
        env={**ENVIRON, **variables},
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
    )
    return "dubious ownership" in result.stderr


def test_a_checkout_of_another_owner(push: tuple[Checkout, dict[str, str], str]) -> None:
    """As a runner makes it; git refuses to work in those. Only root can give a folder away."""
    clone, variables, before = push
    if os.geteuid() == 0:
        for path in [clone.folder, *clone.folder.rglob("*")]:
            os.lchown(path, NOBODY, NOBODY)
    else:  # what git's own tests do; it would make git doubt the remote, too
        git(clone.folder, "fetch", "-q", "--unshallow")
        variables = {**variables, "GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}
    assert refused_by_git(clone.folder, **variables)
    result = called(clone.folder, **variables)
    assert before in result.stdout, result.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run git as another user")
def test_a_checkout_of_root_in_a_job_of_another_user(remote: Remote, reachable: Path) -> None:
    """The docker executor with an image whose user is not root: root's files, open to everybody."""
    shared = reachable / "remote"
    shutil.copytree(remote.folder, shared)
    folder = reachable / "project"
    git(reachable, "clone", "-q", "--depth=1", shared.as_uri(), str(folder))
    for path in [reachable, *reachable.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o777 if path.is_dir() else 0o666)
    for path in [shared, *shared.rglob("*")]:
        os.lchown(path, NOBODY, NOBODY)  # it is the checkout that git doubts here
    shim = reachable / "bin" / "git"
    shim.parent.mkdir(mode=0o755)
    as_nobody = f"setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups"
    shim.write_text(f'#!/bin/sh\nexec {as_nobody} {shutil.which("git")} "$@"\n')
    shim.chmod(0o755)
    variables = {
        "PATH": f"{shim.parent}:{os.environ['PATH']}",
        "CI_COMMIT_BRANCH": "main",
        "CI_COMMIT_BEFORE_SHA": remote.parent(remote.tip(), 2),
    }
    assert refused_by_git(folder, **variables)
    result = called(folder, **variables)
    assert variables["CI_COMMIT_BEFORE_SHA"] in result.stdout, result.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_fetch_ends_with_the_command_that_is_told_to_stop(
    push: tuple[Checkout, dict[str, str], str], tmp_path: Path, number: signal.Signals
) -> None:
    clone, variables, _ = push
    home = tmp_path / "home"
    home.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        git(clone.folder, "remote", "set-url", "origin", f"http://127.0.0.1:{silent.getsockname()[1]}/x.git")
        process = subprocess.Popen(
            COMMAND,
            cwd=clone.folder,
            env={**os.environ, **ENVIRON, **variables, "CI_COMMIT_BRANCH": "other", "HOME": str(home)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        silent.settimeout(30)
        connection, _ = silent.accept()  # git asks for the branch, and gets no answer
        process.send_signal(number)
        printed, said = process.communicate(timeout=30)
        assert (process.returncode, printed) == (128 + number, "")
        assert "told to stop" in said
        wait_until(lambda: not processes_at(home), 10, "git has ended, too")
        connection.close()


def test_no_checkout_is_an_error_with_advice(tmp_path: Path) -> None:
    result = called(tmp_path)
    assert result.returncode == 78
    assert "not inside a git checkout" in result.stderr
    assert result.stdout == ""


def test_no_git_is_an_error_with_advice(push: tuple[Checkout, dict[str, str], str]) -> None:
    clone, variables, _ = push
    result = called(clone.folder, **{**variables, "PATH": "/nonexistent"})
    assert result.returncode == 78
    assert "git is not installed" in result.stderr


def test_a_broken_checkout_is_an_error_with_gits_words(
    push: tuple[Checkout, dict[str, str], str],
) -> None:
    clone, variables, _ = push
    (clone.folder / ".git" / "HEAD").unlink()
    result = called(clone.folder, **variables)
    assert result.returncode == 78
    assert "git cannot use the checkout" in result.stderr


def test_other_repositories_in_the_environment_do_not_mislead(
    push: tuple[Checkout, dict[str, str], str], tmp_path: Path
) -> None:
    clone, variables, before = push
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    assert before in called(clone.folder, **variables, GIT_DIR=str(other / ".git")).stdout

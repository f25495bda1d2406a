"""Real checkouts and workspaces, as jobs find them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nx_dte.nx_commands import Runner
from tests.integration.doctor.conftest import Place, executable, git

if TYPE_CHECKING:
    from collections.abc import Iterator

NOBODY = 65534
# The modules are loaded before the user changes: the folder of the package may be out of the other's reach.
AS_NOBODY = f"""
import os, sys
import httpx2, nx_dte.doctor, nx_dte.cli.doctor
from nx_dte.cli import main
os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})
sys.argv[0] = "nx-dte"
main()
"""


def test_a_good_checkout(checkout: Place) -> None:
    found = checkout.facts().checkout
    assert (found.root, found.problem) == (checkout.folder, None)
    assert (found.head, found.is_shallow, found.changed_files) == (
        git(checkout.folder, "rev-parse", "HEAD"),
        False,
        0,
    )


def test_below_its_top_folder(checkout: Place) -> None:
    below = checkout.folder / "libs" / "ui"
    below.mkdir(parents=True)
    checkout.folder = below
    assert checkout.facts().checkout.root == below.parent.parent


def test_changed_files_are_counted_and_nothing_is_written(checkout: Place) -> None:
    (checkout.folder / "file").write_text("three")
    (checkout.folder / "untracked").write_text("x")
    before = (checkout.folder / ".git" / "index").stat().st_mtime_ns
    assert checkout.facts().checkout.changed_files == 1
    assert (checkout.folder / ".git" / "index").stat().st_mtime_ns == before


def test_a_shallow_clone(checkout: Place, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--depth=1", checkout.folder.as_uri(), "clone")
    checkout.folder = tmp_path / "clone"
    found = checkout.facts().checkout
    assert (found.is_shallow, found.commits) == (True, 1)


def test_a_repository_without_a_commit(place: Place) -> None:
    git(place.folder, "init", "-q")
    found = place.facts().checkout
    assert (found.problem, found.head) == (None, None)


def test_a_broken_checkout_is_said_in_gits_words(checkout: Place) -> None:
    (checkout.folder / ".git" / "HEAD").unlink()
    assert "not a git repository" in checkout.facts().checkout.problem


@pytest.mark.slow
def test_the_remote_is_called_only_on_request(checkout: Place, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", checkout.folder.as_uri(), "clone")
    origin, checkout.folder = checkout.folder, tmp_path / "clone"
    assert "origin" not in checkout.checks()
    assert checkout.checks("--origin")["origin"]["status"] == "ok"
    origin.rename(tmp_path / "gone")
    found = checkout.checks("--origin")["origin"]
    assert (found["status"], "origin does not answer" in found["found"]) == ("problem", True)


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A folder that other users can get to, unlike those of pytest."""
    with tempfile.TemporaryDirectory(prefix="nx-dte-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.mark.slow
def test_a_checkout_of_root_in_a_job_of_another_user(checkout: Place, reachable: Path) -> None:
    """The docker executor with an image whose user is not root, after a helper with umask 022."""
    folder, home = reachable / "demo", reachable / "home"
    git(reachable, "clone", "-q", checkout.folder.as_uri(), str(folder))
    home.mkdir(mode=0o777)
    home.chmod(0o777)
    beside = reachable / "demo.tmp"
    beside.mkdir()
    place = Place(folder=folder, home=home)
    if os.geteuid() == 0:
        place.command = (sys.executable, "-c", AS_NOBODY)
    else:  # git takes its word for it, and nobody but root may write in folders without the right to
        place.variables = {"GIT_TEST_ASSUME_DIFFERENT_OWNER": "1"}
        for path in (folder, beside):
            path.chmod(0o555)
    try:
        checks = place.checks(CI_PROJECT_DIR=str(folder))
    finally:
        for path in (folder, beside):
            path.chmod(0o755)
    assert checks["checkout"]["status"] == "problem"
    assert "dubious ownership" in checks["checkout"]["found"]
    assert f"safe.directory {folder}" in checks["checkout"]["remedy"]
    assert checks["build_folder"]["status"] == "problem"
    assert f"cannot write in {folder} (owner " in checks["build_folder"]["found"]
    assert f"{beside} (owner " in checks["build_folder"]["found"]
    assert "gitlab_runner_env: Permission denied" in checks["build_folder"]["remedy"]


@pytest.mark.slow
def test_the_remedy_for_the_owner_is_one(checkout: Place, tmp_path: Path) -> None:
    """What the check says is done, and then it is content."""
    checkout.variables = {"GIT_CONFIG_GLOBAL": str(tmp_path / "gitconfig")}
    if os.geteuid() == 0:
        for path in [checkout.folder, *checkout.folder.rglob("*")]:
            os.lchown(path, NOBODY, NOBODY)
    else:
        checkout.variables["GIT_TEST_ASSUME_DIFFERENT_OWNER"] = "1"
    before = checkout.checks()["checkout"]
    assert before["status"] == "problem"
    words = before["remedy"].partition(" (")[0].split()
    assert words[:2] == ["git", "config"]
    subprocess.run(words, env=checkout.environ, timeout=30, check=True)
    assert checkout.checks()["checkout"]["status"] == "ok"


# ---------------------------------------------------------------------------------------- workspaces
def workspace(place: Place, **package: object) -> None:
    (place.folder / "nx.json").write_text("{}")
    (place.folder / "package.json").write_text(json.dumps(package))
    (place.folder / "yarn.lock").write_text("# yarn lockfile v1\n")


def install(place: Place, name: str, version: str) -> Path:
    folder = place.folder / "node_modules" / name
    folder.mkdir(parents=True)
    (folder / "package.json").write_text(json.dumps({"version": version}))
    return folder


def install_nx(place: Place) -> None:
    install(place, "nx", "20.8.4")
    executable(place.folder / "node_modules" / ".bin" / "nx-cloud", "exit 0")


def test_a_good_workspace(checkout: Place) -> None:
    workspace(checkout, packageManager="yarn@1.22.22")
    install_nx(checkout)
    yarn = executable(checkout.bin_folder / "yarn", 'echo "1.22.22"')
    facts = checkout.facts()
    found = facts.workspace
    assert (found.problem, found.nx_version, found.manager) == (None, "20.8.4", Runner.YARN)
    assert (found.named_manager, found.brings_yarn) == ("yarn@1.22.22", False)
    assert (found.nx_cloud_package, found.names_nx_cloud) == (None, False)
    assert (facts.programs["yarn"].version, facts.programs["yarn"].path) == ("1.22.22", str(yarn))


def test_one_whose_dependencies_are_not_installed(checkout: Place) -> None:
    workspace(checkout)
    problem = checkout.facts().workspace.problem
    assert "nx is not installed" in problem
    assert "yarn install" in problem


@pytest.mark.parametrize(
    "where",
    ["node_modules/nx-cloud", "node_modules/@nrwl/nx-cloud", "node_modules/.pnpm/node_modules/nx-cloud"],
)
def test_the_package_nx_cloud_is_found_without_a_look_into_it(checkout: Place, where: str) -> None:
    workspace(checkout)
    install_nx(checkout)
    (checkout.folder / where).mkdir(parents=True)
    (checkout.folder / where).chmod(0)
    assert checkout.facts().workspace.nx_cloud_package == checkout.folder / where


def test_the_package_nx_cloud_is_wanted(checkout: Place) -> None:
    workspace(checkout, devDependencies={"nx-cloud": "19.0.0"})
    assert checkout.facts().workspace.names_nx_cloud


def test_a_repository_that_brings_its_yarn(checkout: Place) -> None:
    workspace(checkout)
    (checkout.folder / ".yarnrc.yml").write_text(
        "nodeLinker: node-modules\nyarnPath: .yarn/releases/yarn-4.cjs\n"
    )
    assert checkout.facts().workspace.brings_yarn


@pytest.mark.parametrize(("text", "words"), [("{", "Expecting"), ("[]", "no JSON object")])
def test_an_nx_json_that_is_none(checkout: Place, text: str, words: str) -> None:
    workspace(checkout)
    (checkout.folder / "nx.json").write_text(text)
    assert words in checkout.facts().workspace.nx_json_problem


def test_what_nx_json_says_of_the_coordinator_counts_where_the_job_says_nothing(checkout: Place) -> None:
    workspace(checkout)
    install_nx(checkout)
    (checkout.folder / "nx.json").write_text(
        json.dumps({"nxCloudUrl": "http://127.0.0.1:1", "nxCloudAccessToken": "committed-token"})
    )
    facts = checkout.facts()
    assert (facts.cloud.url, facts.cloud.token) == ("http://127.0.0.1:1", "committed-token")
    assert checkout.facts(NX_CLOUD_API="http://127.0.0.1:2").cloud.url == "http://127.0.0.1:2"


def test_nothing_of_the_checkout_is_run(checkout: Place) -> None:
    """Not even what its own settings name as the package manager or as a helper of git."""
    workspace(checkout)
    ran = checkout.folder / "ran"
    program = executable(checkout.folder / "program", f': >"{ran}"; echo 1.0.0')
    (checkout.folder / ".yarnrc").write_text(f'yarn-path "{program}"\n')
    (checkout.folder / ".yarnrc.yml").write_text(f"yarnPath: {program}\n")
    (checkout.folder / "node_modules" / ".bin").mkdir(parents=True)
    for name in ("node", "git", "yarn", "npm", "pnpm", "nx", "nx-cloud"):
        (checkout.folder / "node_modules" / ".bin" / name).symlink_to(program)
    checkout.facts()
    assert not ran.exists()

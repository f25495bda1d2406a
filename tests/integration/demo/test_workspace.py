"""The origin and its clones; real git, no Nx."""

import subprocess
from pathlib import Path

import pytest

from nx_dte.demo.layout import Layout
from nx_dte.demo.workspace import BASE_RELEASE, Origin, make_origin


@pytest.fixture
def origin(tmp_path: Path) -> Origin:
    example = tmp_path / "examples/workspace"
    for name, content in {
        "nx.json": "{}",
        "tools/release.json": '{ "release": "9" }\n',
        "dist/old.js": "not to be copied",
        ".gitignore": "node_modules/\n",
    }.items():
        file = example / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    node_modules = tmp_path / "installed/node_modules"
    (node_modules / ".bin").mkdir(parents=True)
    (node_modules / "nx.js").write_text("module")
    (node_modules / ".bin/nx").symlink_to("../nx.js")
    return make_origin(Layout(root=tmp_path), tmp_path, node_modules)


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def clone(origin: Origin, folder: Path) -> Path:
    folder.mkdir()
    return origin.clone(folder).path


def test_head_differs_from_base_in_what_every_project_depends_on(origin: Origin) -> None:
    assert git(origin.path, "diff", "--name-only", origin.base, origin.head) == "tools/release.json"
    assert git(origin.path, "show", f"{origin.base}:tools/release.json") == BASE_RELEASE.strip()
    assert not (origin.path / "dist").exists()


def test_a_clone_is_clean_at_head_with_its_dependencies(origin: Origin, tmp_path: Path) -> None:
    path = clone(origin, tmp_path / "job")
    assert git(path, "rev-parse", "HEAD") == origin.head
    assert git(path, "status", "--porcelain") == ""
    assert (path / "node_modules/.bin/nx").read_text() == "module"


def test_commits_stand_beside_each_other_and_can_all_be_cloned(origin: Origin, tmp_path: Path) -> None:
    one = origin.commit({"libs/a/new.js": "1\n"})
    two = origin.commit({"nx.json": None})
    assert one.base == two.base == origin.head
    first, second = clone(one, tmp_path / "one"), clone(two, tmp_path / "two")
    assert (first / "libs/a/new.js").read_text() == "1\n"
    assert (first / "nx.json").exists()
    assert not (second / "nx.json").exists()
    assert not (second / "libs").exists()

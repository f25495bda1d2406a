"""What a checkout tells: package manager, folders, prettier."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from nx_dte.errors import ConfigurationError
from nx_dte.nx_commands import Runner
from nx_dte.pipeline import PackageManager, Workspace, look_at

if TYPE_CHECKING:
    from pathlib import Path


def checkout(folder: Path, *files: str, package: dict[str, object] | None = None) -> Path:
    (folder / ".git").mkdir()
    for name in files:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}", encoding="utf-8")
    if package is not None:
        (folder / "package.json").write_text(json.dumps(package), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("lock", "manager"),
    [
        ("yarn.lock", PackageManager.YARN),
        ("package-lock.json", PackageManager.NPM),
        ("npm-shrinkwrap.json", PackageManager.NPM),
        ("pnpm-lock.yaml", PackageManager.PNPM),
    ],
)
def test_the_lock_file_says_the_package_manager(tmp_path: Path, lock: str, manager: PackageManager) -> None:
    workspace = look_at(checkout(tmp_path, "nx.json", lock), None)
    assert (workspace.package_manager, workspace.lock_file, workspace.folder) == (manager, lock, "")


def test_package_managers_are_those_that_nx_dte_runs_commands_with() -> None:
    assert {manager.value for manager in PackageManager} <= {runner.value for runner in Runner}


def test_of_two_lock_files_the_one_that_package_json_names_counts(tmp_path: Path) -> None:
    folder = checkout(
        tmp_path, "nx.json", "yarn.lock", "pnpm-lock.yaml", package={"packageManager": "pnpm@9.1.0"}
    )
    assert look_at(folder, None).package_manager is PackageManager.PNPM
    assert look_at(folder, PackageManager.YARN).lock_file == "yarn.lock"


def test_a_newer_yarn_is_known_by_its_lock_file(tmp_path: Path) -> None:
    folder = checkout(tmp_path, "nx.json")
    (folder / "yarn.lock").write_text("# generated\n\n__metadata:\n  version: 8\n", encoding="utf-8")
    workspace = look_at(folder, None)
    assert workspace.is_yarn_berry
    assert workspace.before(workspace.installation.line) == ("yarn install --immutable",)


def test_a_workspace_below_the_repository_installs_and_works_there(tmp_path: Path) -> None:
    checkout(tmp_path, "web/nx.json", "web/yarn.lock")
    workspace = look_at(tmp_path / "web", None)
    assert workspace.before("install") == ("cd web", "install")
    assert (workspace.path("dist"), workspace.lock_path(".yarn-cache")) == ("web/dist", "web/.yarn-cache")


def test_a_lock_file_above_the_workspace_installs_there(tmp_path: Path) -> None:
    checkout(tmp_path, "it's web/nx.json", "yarn.lock")
    workspace = look_at(tmp_path / "it's web", None)
    assert workspace.before("install") == ("install", "cd 'it'\"'\"'s web'")
    assert workspace.lock_path(".yarn-cache") == ".yarn-cache"


def test_a_lock_file_between_the_two_is_found(tmp_path: Path) -> None:
    checkout(tmp_path, "js/web/nx.json", "js/yarn.lock")
    workspace = look_at(tmp_path / "js/web", None)
    assert workspace.before("install") == ("cd js", "install", "cd web")
    assert workspace.before("") == ("cd js", "cd web")


def test_a_lock_file_above_the_repository_is_none_of_ours(tmp_path: Path) -> None:
    (tmp_path / "yarn.lock").touch()
    (tmp_path / "inner").mkdir()
    folder = checkout(tmp_path / "inner", "nx.json")
    with pytest.raises(ConfigurationError, match=r"no lock file .* give --package-manager"):
        look_at(folder, None)
    assert look_at(folder, PackageManager.NPM) == Workspace(
        package_manager=PackageManager.NPM, lock_file="package-lock.json", has_prettier=False
    )


@pytest.mark.parametrize(
    ("package", "has_prettier"),
    [
        ({"devDependencies": {"prettier": "3"}}, True),
        ({"dependencies": {"prettier": "3"}}, True),
        ({"devDependencies": {"eslint": "9"}}, False),
        ({"devDependencies": ["prettier"]}, False),
    ],
)
def test_prettier_is_looked_for(tmp_path: Path, package: dict[str, object], *, has_prettier: bool) -> None:
    assert (
        look_at(checkout(tmp_path, "nx.json", "yarn.lock", package=package), None).has_prettier
        is has_prettier
    )


def test_outside_of_a_workspace_the_package_manager_must_be_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no nx\.json .* --package-manager"):
        look_at(tmp_path, None)
    assert look_at(tmp_path, PackageManager.PNPM).lock_file == "pnpm-lock.yaml"


@pytest.mark.parametrize(
    ("name", "text", "prefers_single"),
    [
        (".prettierrc", '{ "singleQuote": true }', True),
        (".prettierrc", "singleQuote: true\n", True),
        (".prettierrc.json", '{"singleQuote": false}', False),
        (".prettierrc.yml", "semi: false\n", False),
        (".prettierrc", "{", False),
        (".prettierrc", "[]", False),
        ("package.json", '{"prettier": {"singleQuote": true}}', True),
        ("package.json", '{"prettier": "@acme/prettier-config"}', False),
        ("prettier.config.js", "module.exports = {singleQuote: true}", False),
    ],
)
def test_prettier_is_asked_for_its_quotes(
    tmp_path: Path, name: str, text: str, *, prefers_single: bool
) -> None:
    folder = checkout(tmp_path, "nx.json", "yarn.lock")
    (folder / name).write_text(text, encoding="utf-8")
    assert look_at(folder, None).prefers_single_quotes is prefers_single

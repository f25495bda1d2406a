"""The Nx workspace, read and not run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from nx_dte.doctor.facts import WorkspaceFacts
from nx_dte.errors import ConfigurationError
from nx_dte.nx_commands import find_checkout, package_manager
from nx_dte.nx_commands.runner import folders_up_to_checkout

if TYPE_CHECKING:
    from pathlib import Path

    from nx_dte.nx_commands import NxCheckout, Runner

__all__ = ["workspace_facts"]

_PACKAGES = ("nx-cloud", "@nrwl/nx-cloud")
_DEPENDENCIES = ("dependencies", "devDependencies", "optionalDependencies")
_FOLDERS = ("node_modules", "node_modules/.pnpm/node_modules")


def workspace_facts(directory: Path) -> WorkspaceFacts | None:
    """The workspace that a folder is in; None if there is none."""
    try:
        root = next(
            (folder for folder in (directory, *directory.parents) if (folder / "nx.json").is_file()), None
        )
        return None if root is None else _facts(root)
    except OSError as error:  # a folder on the way must not be looked into
        problem = (
            f"{error.filename or directory} cannot be read: {error.strerror or error}. Give this user access."
        )
        return WorkspaceFacts(root=directory, problem=problem)


def _facts(root: Path) -> WorkspaceFacts:
    package, _ = _read(root / "package.json")
    content, nx_json_problem = _read(root / "nx.json")
    named = package.get("packageManager")
    wanted = {name for key in _DEPENDENCIES if isinstance(package.get(key), dict) for name in package[key]}
    usable, problem = _usable(root)
    return WorkspaceFacts(
        root=root,
        usable=usable,
        manager=_manager(root),
        named_manager=named if isinstance(named, str) else None,
        brings_yarn=_brings_yarn(root),
        problem=problem,
        nx_version=_nx_version(root),
        nx_cloud_package=_installed(root),
        names_nx_cloud=bool(wanted & set(_PACKAGES)),
        nx_json=content,
        nx_json_problem=nx_json_problem,
    )


def _manager(root: Path) -> Runner | None:
    try:
        return package_manager(root)
    except ConfigurationError:
        return None


def _usable(root: Path) -> tuple[NxCheckout | None, str | None]:
    """The workspace as nx-dte's own commands see it, or why they refuse it."""
    try:
        return find_checkout(root, runner=None), None
    except ConfigurationError as error:
        return None, error.message


def _nx_version(root: Path) -> str | None:
    for folder in folders_up_to_checkout(root):
        package, _ = _read(folder / "node_modules" / "nx" / "package.json")
        version = package.get("version")
        if isinstance(version, str):
            return version
    return None


def _installed(root: Path) -> Path | None:
    """Where Node would find the package from the workspace's Nx."""
    for folder in (root, *root.parents):
        for modules in _FOLDERS:
            for package in _PACKAGES:
                if (folder / modules / package).is_dir():
                    return folder / modules / package
    return None


def _brings_yarn(root: Path) -> bool:
    settings = (root / ".yarnrc.yml", root / ".yarnrc")
    return any(
        line.lstrip().startswith(("yarnPath:", "yarn-path"))
        for file in settings
        if file.is_file()
        for line in file.read_text(encoding="utf-8", errors="replace").splitlines()
    )


def _read(file: Path) -> tuple[dict[str, Any], str | None]:
    """A JSON object, and why it is none; a file that is not there counts as empty."""
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return {}, None
    except OSError as error:
        return {}, error.strerror or str(error)
    except ValueError as error:
        return {}, str(error)
    return (content, None) if isinstance(content, dict) else ({}, "it is no JSON object")

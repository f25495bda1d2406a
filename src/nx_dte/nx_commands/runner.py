"""The package manager of a workspace: which one, and how it runs a program of node_modules."""

from __future__ import annotations

import shutil
from enum import StrEnum
from typing import TYPE_CHECKING

from nx_dte.errors import ConfigurationError
from nx_dte.nx_commands.reading import read_json

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Runner", "folders_up_to_checkout", "is_yarn_classic", "package_manager", "require_program"]


class Runner(StrEnum):
    """Who runs the programs of node_modules."""

    YARN = "yarn"
    NPM = "npm"
    PNPM = "pnpm"
    NPX = "npx"

    @property
    def words(self) -> tuple[str, ...]:
        """What stands before `nx` or `nx-cloud`."""
        return {
            Runner.YARN: ("yarn",),
            Runner.NPM: ("npx",),
            Runner.PNPM: ("pnpm", "exec"),
            Runner.NPX: ("npx",),
        }[self]

    @property
    def install(self) -> str:
        """How it brings node_modules."""
        return {
            Runner.YARN: "yarn install --frozen-lockfile",
            Runner.NPM: "npm ci",
            Runner.PNPM: "pnpm install --frozen-lockfile",
            Runner.NPX: "npm ci",
        }[self]


_LOCK_FILES = {
    "yarn.lock": Runner.YARN,
    "pnpm-lock.yaml": Runner.PNPM,
    "package-lock.json": Runner.NPM,
    "npm-shrinkwrap.json": Runner.NPM,
}
_CLASSIC = "# yarn lockfile v1"
_HEAD_BYTES = 1000


def folders_up_to_checkout(root: Path) -> Iterator[Path]:
    """The folder and those above it, as far as the git checkout goes."""
    for folder in (root, *root.parents):
        yield folder
        if (folder / ".git").exists():
            return


def package_manager(root: Path) -> Runner:
    """The one whose lock file is nearest, in the workspace's root or above; of several the one package.json names.

    Raises:
        ConfigurationError: there is no lock file.
    """
    for folder in folders_up_to_checkout(root):
        found = [runner for name, runner in _LOCK_FILES.items() if (folder / name).is_file()]
        if len(found) > 1:
            named = str(read_json(folder / "package.json").get("packageManager", "")).partition("@")[0]
            return next((runner for runner in found if runner.value == named), found[0])
        if found:
            return found[0]
    names = ", ".join(_LOCK_FILES)
    raise ConfigurationError(
        f"no lock file ({names}) in {root} or above it, so the package manager is not known. Commit the lock file, or name "
        "the package manager with --runner yarn|npm|pnpm|npx"
    )


def require_program(runner: Runner, root: Path, path: str) -> None:
    """See that the package manager is there.

    Raises:
        ConfigurationError: its program is not on `path`.
    """
    program = runner.words[0]
    if shutil.which(program, path=path) is None:
        raise ConfigurationError(
            f"{program} is not on PATH, but runs the commands of {root}. Install it in the job's image (`corepack enable` "
            "where Node brings it), or name another package manager with --runner yarn|npm|pnpm|npx"
        )


def is_yarn_classic(root: Path) -> bool:
    """Whether the workspace is one of yarn 1, by its lock file."""
    for folder in folders_up_to_checkout(root):
        file = folder / "yarn.lock"
        if file.is_file():
            with file.open("rb") as lock:
                return _CLASSIC.encode() in lock.read(_HEAD_BYTES)
    return False

"""What a checkout tells about the pipeline it needs: package manager, folders, what is there to be checked."""

from __future__ import annotations

import json
import os
import shlex
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path, PurePosixPath

import yaml

from nx_dte.errors import ConfigurationError

__all__ = ["Installation", "PackageManager", "Workspace", "look_at"]


class PackageManager(StrEnum):
    """Who brings node_modules and runs their programs."""

    YARN = "yarn"
    NPM = "npm"
    PNPM = "pnpm"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installation:
    """How a job gets its node_modules, and what of it GitLab's cache keeps."""

    line: str
    cache_folder: str
    """What was downloaded, not node_modules: that is checked against the lock file each time."""
    variables: tuple[tuple[str, str], ...] = ()


_LOCK_FILES = {
    "yarn.lock": PackageManager.YARN,
    "pnpm-lock.yaml": PackageManager.PNPM,
    "package-lock.json": PackageManager.NPM,
    "npm-shrinkwrap.json": PackageManager.NPM,
}
_INSTALLATIONS = {
    PackageManager.YARN: Installation(
        line="yarn install --frozen-lockfile --prefer-offline --cache-folder .yarn-cache",
        cache_folder=".yarn-cache",
    ),
    PackageManager.NPM: Installation(line="npm ci --prefer-offline --cache .npm", cache_folder=".npm"),
    PackageManager.PNPM: Installation(
        line="pnpm install --frozen-lockfile --prefer-offline --store-dir .pnpm-store",
        cache_folder=".pnpm-store",
    ),
}
_YARN_BERRY = Installation(
    line="yarn install --immutable",
    cache_folder=".yarn/cache",
    variables=(("YARN_ENABLE_GLOBAL_CACHE", "false"),),
)


# In the order in which prettier looks, after package.json. JSON is YAML.
_PRETTIER_FILES = (".prettierrc", ".prettierrc.json", ".prettierrc.yaml", ".prettierrc.yml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """The Nx workspace a pipeline is for. Folders are relative to the repository, "" is the repository itself."""

    package_manager: PackageManager = PackageManager.YARN
    lock_file: str = "yarn.lock"
    """By its path in the repository."""
    folder: str = ""
    """Where nx.json is."""
    is_yarn_berry: bool = False
    has_prettier: bool = True
    """Without it `nx format:check` fails."""
    prefers_single_quotes: bool = False
    """Prettier is told `singleQuote`, as in workspaces that Nx has made: the file must pass `nx format:check`, too."""

    @property
    def lock_folder(self) -> str:
        """Where the packages are installed."""
        parent = str(PurePosixPath(self.lock_file).parent)
        return "" if parent == "." else parent

    @property
    def installation(self) -> Installation:
        """How its packages are installed; paths are relative to `lock_folder`."""
        return _YARN_BERRY if self.is_yarn_berry else _INSTALLATIONS[self.package_manager]

    def before(self, install: str) -> tuple[str, ...]:
        """The lines that install and end up in the workspace."""
        lines = [install] if install else []
        if self.lock_folder:
            lines.insert(0, f"cd {shlex.quote(self.lock_folder)}")
        if self.folder != self.lock_folder:
            way = os.path.relpath(self.folder or ".", self.lock_folder or ".")
            lines.append(f"cd {shlex.quote(way)}")
        return tuple(lines)

    def path(self, name: str) -> str:
        """A path of the workspace as one of the repository."""
        return str(PurePosixPath(self.folder, name)) if self.folder else name

    def lock_path(self, name: str) -> str:
        """The same for the folder of the lock file."""
        return str(PurePosixPath(self.lock_folder, name)) if self.lock_folder else name


def look_at(directory: Path, package_manager: PackageManager | None) -> Workspace:
    """The workspace that `directory` is in; nothing needs to be installed.

    Raises:
        ConfigurationError: there is none, or nothing tells its package manager.
    """
    root = _upwards(directory, "nx.json")
    if root is None:
        if package_manager is None:
            raise ConfigurationError(
                f"{directory} is in no Nx workspace: there is no nx.json in it or above it, so the package manager is not "
                "known. Run this in a checkout of the workspace, or give --package-manager yarn|npm|pnpm"
            )
        return Workspace(package_manager=package_manager, lock_file=_lock_file_of(package_manager))
    repository = _upwards(root, ".git") or root
    lock = _lock_file(root, repository, package_manager)
    return Workspace(
        package_manager=_LOCK_FILES[lock.name],
        lock_file=lock.relative_to(repository).as_posix(),
        folder="" if root == repository else root.relative_to(repository).as_posix(),
        is_yarn_berry=lock.name == "yarn.lock" and _is_berry(lock),
        has_prettier=_has_prettier(root) or _has_prettier(lock.parent),
        prefers_single_quotes=_prefers_single_quotes(repository),
    )


def _lock_file(root: Path, repository: Path, wanted: PackageManager | None) -> Path:
    """The lock file nearest to the root, in it or above it; of several in one folder the one package.json names."""
    folders = [folder for folder in (root, *root.parents) if folder.is_relative_to(repository)]
    for folder in folders:
        found = [
            folder / name
            for name, manager in _LOCK_FILES.items()
            if (folder / name).is_file() and wanted in {None, manager}
        ]
        if found:
            named = str(_read_json(folder / "package.json").get("packageManager", "")).partition("@")[0]
            return next((file for file in found if _LOCK_FILES[file.name].value == named), found[0])
    if wanted is not None:
        return root / _lock_file_of(wanted)
    raise ConfigurationError(
        f"no lock file ({', '.join(_LOCK_FILES)}) in {root} or above it, so the package manager is not known. Commit the "
        "lock file, or give --package-manager yarn|npm|pnpm"
    )


def _lock_file_of(package_manager: PackageManager) -> str:
    return next(name for name, manager in _LOCK_FILES.items() if manager is package_manager)


def _is_berry(lock: Path) -> bool:
    """Yarn from version 2 on writes another lock file, and knows other options."""
    try:
        with lock.open(encoding="utf-8", errors="replace") as lines:
            return any(line.startswith("__metadata:") for line, _ in zip(lines, range(20), strict=False))
    except OSError:
        return False


def _has_prettier(folder: Path) -> bool:
    package = _read_json(folder / "package.json")
    kinds = (package.get("dependencies"), package.get("devDependencies"))
    return any(isinstance(packages, dict) and "prettier" in packages for packages in kinds)


def _prefers_single_quotes(repository: Path) -> bool:
    """What prettier's configuration beside the pipeline's file says, where it is data; programs are not run."""
    package = _read_json(repository / "package.json").get("prettier")
    configurations = (package, *(_read_yaml(repository / name) for name in _PRETTIER_FILES))
    said = (
        each["singleQuote"] for each in configurations if isinstance(each, dict) and "singleQuote" in each
    )
    return next(said, False) is True


def _upwards(directory: Path, name: str) -> Path | None:
    start = directory.resolve()
    return next((folder for folder in (start, *start.parents) if (folder / name).exists()), None)


def _read_json(file: Path) -> dict[str, object]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _read_yaml(file: Path) -> object:
    try:
        return yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return None

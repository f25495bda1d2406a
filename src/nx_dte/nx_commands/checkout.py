"""The workspace root, its package manager and its Nx."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from nx_dte.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["NxCheckout", "Runner", "find_checkout"]

OLDEST_MAJOR = 16
"""From here on `nx-cloud` comes with the `nx` package and loads its client from NX_CLOUD_API."""
_NAMES = re.compile(r"\$(?:\{(NX_BASE|NX_HEAD)\}|(NX_BASE|NX_HEAD)\b)")


class Runner(StrEnum):
    """Who runs the programs of node_modules."""

    YARN = "yarn"
    NPM = "npm"
    PNPM = "pnpm"
    NPX = "npx"

    @property
    def prefix(self) -> tuple[str, ...]:
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


@dataclass(frozen=True, slots=True, kw_only=True)
class NxCheckout:
    """An Nx workspace with its dependencies installed."""

    root: Path
    runner: Runner

    def expanded(self, words: Sequence[str], *, variables: Mapping[str, str]) -> tuple[str, ...]:
        """The words with `$NX_BASE` and `$NX_HEAD` replaced, and nothing else.

        nx-dte knows these only after the job's shell has read the line, so they may stand there in single quotes.
        """

        def value(match: re.Match[str]) -> str:
            return variables.get(match[1] or match[2], match[0])

        return tuple(_NAMES.sub(value, word) for word in words)

    def command(self, words: Sequence[str], *, variables: Mapping[str, str]) -> tuple[str, ...]:
        """The command to run for a line as users write it: `nx …` by the package manager, anything else as it is."""
        expanded = self.expanded(words, variables=variables)
        if expanded and expanded[0] in {"nx", "nx-cloud"}:
            return (*self.runner.prefix, *expanded)
        return expanded

    def nx_cloud(self, *words: str) -> tuple[str, ...]:
        """`nx-cloud …` by the package manager."""
        return (*self.runner.prefix, "nx-cloud", *words)

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """The environment with node_modules/.bin first on PATH, as a package manager's own scripts have it."""
        bin_folder = self.root / "node_modules" / ".bin"
        return {**environ, "PATH": f"{bin_folder}:{environ.get('PATH', '')}"}


def find_checkout(directory: Path, *, runner: Runner | None) -> NxCheckout:
    """The Nx workspace that `directory` is in.

    Raises:
        ConfigurationError: there is none, its lock file or its Nx is missing, or its Nx is too old.
    """
    root = _upwards(directory, "nx.json")
    if root is None:
        raise ConfigurationError(
            f"{directory} is in no Nx workspace: there is no nx.json in it or above it. Run nx-dte where the job has checked "
            "out the workspace"
        )
    chosen = runner or _from_lock_file(root)
    _require_nx(root, chosen)
    return NxCheckout(root=root, runner=chosen)


def _upwards(directory: Path, name: str) -> Path | None:
    start = directory.resolve()
    return next((folder for folder in (start, *start.parents) if (folder / name).is_file()), None)


def _from_lock_file(root: Path) -> Runner:
    """The lock file nearest to the root, in it or above it; of several in one folder the one package.json names."""
    for folder in (root, *root.parents):
        found = [runner for name, runner in _LOCK_FILES.items() if (folder / name).is_file()]
        if len(found) > 1:
            named = str(_read_json(folder / "package.json").get("packageManager", "")).partition("@")[0]
            return next((runner for runner in found if runner.value == named), found[0])
        if found:
            return found[0]
        if (folder / ".git").exists():
            break
    names = ", ".join(_LOCK_FILES)
    raise ConfigurationError(
        f"no lock file ({names}) in {root} or above it, so the package manager is not known. Commit the lock file, or name "
        "the package manager with --runner yarn|npm|pnpm|npx"
    )


def _require_nx(root: Path, runner: Runner) -> None:
    if any((folder / ".pnp.cjs").is_file() for folder in (root, *root.parents)):
        return  # yarn without node_modules: only yarn can say what is installed
    package = root / "node_modules" / "nx" / "package.json"
    if not package.is_file():
        raise ConfigurationError(
            f"nx is not installed in {root}. Run `{runner.install}` before nx-dte in this job"
        )
    version = str(_read_json(package).get("version", "unknown"))
    major = version.partition(".")[0]
    if not major.isdecimal() or int(major) < OLDEST_MAJOR:
        raise ConfigurationError(
            f"Nx {version} in {root} is too old: its nx-cloud cannot load another client. Update to Nx 20 "
            "(`nx migrate`), with which nx-dte is tested"
        )
    if not (root / "node_modules" / ".bin" / "nx-cloud").exists():
        raise ConfigurationError(
            f"nx {version} is installed in {root}, but its command nx-cloud is missing from node_modules/.bin. Run "
            f"`{runner.install}` before nx-dte in this job, without --no-bin-links"
        )


def _read_json(file: Path) -> dict[str, object]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}

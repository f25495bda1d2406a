"""The workspace root, its package manager and its Nx."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nx_dte.errors import ConfigurationError
from nx_dte.nx_commands.reading import read_json
from nx_dte.nx_commands.runner import (
    Runner,
    folders_up_to_checkout,
    is_yarn_classic,
    package_manager,
    require_program,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["NxCheckout", "find_checkout"]

OLDEST_MAJOR = 17
"""From here on `nx-cloud` comes with the `nx` package and loads its client from NX_CLOUD_API."""
OLDEST_MAJOR_OF_OURS = 20
"""The light client of our coordinator knows Nx from here on."""
_NAMES = re.compile(r"\$(?:\{(NX_BASE|NX_HEAD)\}|(NX_BASE|NX_HEAD)\b)")
_SETTINGS = {
    "NX_CLOUD_API": ("nxCloudUrl", ("NX_CLOUD_API", "NRWL_API")),
    "NX_CLOUD_ACCESS_TOKEN": ("nxCloudAccessToken", ("NX_CLOUD_AUTH_TOKEN", "NX_CLOUD_ACCESS_TOKEN")),
}
"""Variable → its name in nx.json, and the variables that go before that. As Nx has it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NxCheckout:
    """An Nx workspace with its dependencies installed."""

    root: Path
    runner: Runner
    is_yarn_classic: bool = False
    bin_folder: Path
    """Where the programs of node_modules are."""
    nx_version: str | None
    """None where only yarn can say (its Plug'n'Play)."""

    @property
    def prefix(self) -> tuple[str, ...]:
        """What stands before `nx` or `nx-cloud`. Yarn 1 would frame each command in lines of its own."""
        return ("yarn", "--silent") if self.is_yarn_classic else self.runner.words

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
        if not expanded or expanded[0] not in {"nx", "nx-cloud"}:
            return expanded
        program, *rest = expanded
        # Yarn 1 takes the first `--` of a line away: it gets one of its own.
        separator = ("--",) if self.is_yarn_classic and "--" in rest else ()
        return (*self.prefix, program, *separator, *rest)

    def recorded(self, words: Sequence[str], *, variables: Mapping[str, str]) -> tuple[str, ...]:
        """`nx-cloud record -- …`; nx-cloud itself finds the command in node_modules/.bin."""
        expanded = self.expanded(words, variables=variables)
        # Yarn 1 would take this one away anyway, and warn: so it gets none unless there is a later one to keep.
        separator = () if self.is_yarn_classic and "--" not in expanded else ("--",)
        return self.nx_cloud("record", *separator, *expanded)

    def nx_cloud(self, *words: str) -> tuple[str, ...]:
        """`nx-cloud …` by the package manager."""
        return (*self.prefix, "nx-cloud", *words)

    def environment(self, environ: Mapping[str, str]) -> dict[str, str]:
        """The environment with node_modules/.bin first on PATH, as a package manager's own scripts have it.

        In a checkout of another owner, as runners make them, it also lets git work: Nx asks it what has changed.
        """
        path = f"{self.bin_folder}:{environ.get('PATH', '')}"
        return {**environ, **_trust_in(self.root, environ), "PATH": path}

    def with_settings(self, environ: Mapping[str, str]) -> dict[str, str]:
        """The environment, and what nx.json says of address and token where the environment says nothing.

        A variable's value may have ended up with a blank or a line break around it; Nx would take that for a part of it.
        """
        settings = read_json(self.root / "nx.json")
        found = {
            variable: str(settings[key])
            for variable, (key, winners) in _SETTINGS.items()
            if settings.get(key) and not any(environ.get(name, "").strip() for name in winners)
        }
        names = {name for _, winners in _SETTINGS.values() for name in winners}
        stripped = {name: environ[name].strip() for name in names if name in environ}
        return {**environ, **stripped, **found}

    def require_ours(self) -> None:
        """See that our coordinator's light client knows this Nx.

        Raises:
            ConfigurationError: it is too old for it.
        """
        if self.nx_version is not None and _major(self.nx_version) < OLDEST_MAJOR_OF_OURS:
            raise _too_old(self.nx_version, self.root, OLDEST_MAJOR_OF_OURS)


def find_checkout(
    directory: Path, *, runner: Runner | None, environ: Mapping[str, str] | None = None
) -> NxCheckout:
    """The Nx workspace that `directory` is in. Without `environ` nobody looks for the package manager's program.

    Raises:
        ConfigurationError: there is none; its lock file, its package manager or its Nx is missing; its Nx is too old.
    """
    start = directory.resolve()
    root = next((folder for folder in (start, *start.parents) if (folder / "nx.json").is_file()), None)
    if root is None:
        raise ConfigurationError(
            f"{start} is in no Nx workspace: there is no nx.json in it or above it. Run nx-dte where the job has checked "
            "out the workspace, or name its folder with --directory"
        )
    chosen = runner or package_manager(root)
    modules, version = _installed_nx(root, chosen)
    checkout = NxCheckout(
        root=root,
        runner=chosen,
        is_yarn_classic=chosen is Runner.YARN and is_yarn_classic(root),
        bin_folder=modules / ".bin",
        nx_version=version,
    )
    if environ is not None:
        require_program(chosen, root, checkout.environment(environ)["PATH"])
    return checkout


def _trust_in(root: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Git's setting for this checkout alone, for the commands that get it; nothing where git trusts its owner anyway."""
    top = next((folder for folder in folders_up_to_checkout(root) if (folder / ".git").exists()), None)
    if top is None or {top.stat().st_uid, (top / ".git").stat().st_uid} == {os.geteuid()}:
        return {}
    given = environ.get("GIT_CONFIG_COUNT", "")
    number = int(given) if given.isdecimal() else 0
    return {
        "GIT_CONFIG_COUNT": str(number + 1),
        f"GIT_CONFIG_KEY_{number}": "safe.directory",
        f"GIT_CONFIG_VALUE_{number}": str(top),
    }


def _installed_nx(root: Path, runner: Runner) -> tuple[Path, str | None]:
    """The node_modules that Nx is in, and its version."""
    folders = tuple(folders_up_to_checkout(root))
    if any((folder / ".pnp.cjs").is_file() for folder in folders):
        return root / "node_modules", None
    found = (folder / "node_modules" for folder in folders)
    modules = next((folder for folder in found if (folder / "nx" / "package.json").is_file()), None)
    if modules is None:
        raise ConfigurationError(
            f"nx is not installed in {root}. Run `{runner.install}` before nx-dte in this job"
        )
    version = str(read_json(modules / "nx" / "package.json").get("version", "0 (unknown)"))
    if _major(version) < OLDEST_MAJOR:
        raise _too_old(version, root, OLDEST_MAJOR)
    if not (modules / ".bin" / "nx-cloud").exists():
        raise ConfigurationError(
            f"Nx {version} is installed in {root}, but its command nx-cloud is missing from {modules / '.bin'}. Run "
            f"`{runner.install}` before nx-dte in this job, without --no-bin-links"
        )
    return modules, version


def _major(version: str) -> int:
    major = version.partition(".")[0]
    return int(major) if major.isdecimal() else 0


def _too_old(version: str, root: Path, oldest: int) -> ConfigurationError:
    return ConfigurationError(
        f"Nx {version} in {root} is too old: nx-dte needs Nx {oldest} or newer here, and is tested with 20.8.4. Update it "
        "with `nx migrate`, or leave nx-dte out of this job"
    )

"""Builds the images that scenarios' hosts start from: Debian with systemd, and what a scenario takes for granted."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from toolchain.images.bases import provide
from toolchain.images.certificates import extra_certificates
from toolchain.images.docker import client, run_step
from toolchain.images.versions import read_versions
from toolchain.molecule.python_packages import tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

__all__ = ["NAMES", "build", "build_all"]

PREFIX = "nx-dte-test"
BASES = {"bookworm": "debian", "trixie": "trixie"}
"""Suites, each with its base in images/versions.toml."""
ENGINES = {"bookworm": "docker.io iptables", "trixie": "docker.io docker-cli iptables"}
DATABASE = f"{PREFIX}/host:trixie-database"
"""With an engine and PostgreSQL."""
NAMES = (
    *(f"{PREFIX}/host:{suite}{kind}" for suite in BASES for kind in ("", "-engine")),
    DATABASE,
    f"{PREFIX}/gitlab:bookworm",
    f"{PREFIX}/registry:bookworm",
)
"""What platforms of a scenario may name."""
SHARED = "molecule/shared"
GITLAB_NEEDS = ("fastapi", "httpx2", "pyjwt[crypto]", "python-multipart", "pyyaml", "uvicorn")
BUILD_S = 600.0


def build_all(root: Path, names: Iterable[str]) -> None:
    """Build those of the names that are ours, each suite's in turn, the suites side by side.

    Raises:
        DockerError: a step failed.
    """
    wanted = [name for name in NAMES if name in set(names)]
    suites = [[name for name in wanted if _suite(name) == suite] for suite in BASES]
    with ThreadPoolExecutor(max_workers=len(BASES)) as pool:
        for done in [pool.submit(_build_in_turn, root, own) for own in suites if own]:
            done.result()


def _build_in_turn(root: Path, names: list[str]) -> None:
    for name in names:
        build(root, name)


def _suite(name: str) -> str:
    return name.rpartition(":")[2].partition("-")[0]


def build(root: Path, name: str) -> None:
    """Build one image, and first the one it stands on; quick where the engine's cache has it.

    Raises:
        DockerError: a step failed.
    """
    suite = _suite(name)
    host = f"{PREFIX}/host:{suite}"
    context, arguments = root / SHARED, {"BASE": host}
    if name.startswith(f"{PREFIX}/host:"):
        arguments = {
            "BASE": provide(root, read_versions(root), BASES[suite]),
            "EXTRA_CA": extra_certificates(),
            "PACKAGES": _packages(suite, name),
        }
    else:
        build(root, host)
        context = _CONTEXTS[name](root)
    kind = name.removeprefix(f"{PREFIX}/").partition(":")[0]
    command = [client(), "build", "--quiet", "--force-rm", "--tag", name]
    command += ["--file", str(root / SHARED / f"{kind}.Dockerfile")]
    command += [part for key, value in arguments.items() for part in ("--build-arg", f"{key}={value}")]
    run_step([*command, str(context)], timeout_s=BUILD_S)


def _packages(suite: str, name: str) -> str:
    if name == DATABASE:
        return f"{ENGINES[suite]} postgresql"
    return ENGINES[suite] if name.endswith("-engine") else ""


def _gitlab(root: Path) -> Path:
    """The stand-in GitLab: its packages, its code, its unit."""
    folder = _fresh(root, "gitlab")
    shutil.copytree(tree(root, GITLAB_NEEDS), folder / "packages")
    code = folder / "code/tests/support"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(root / "tests/support/gitlab", code / "gitlab", ignore=ignored)
    for name in ("stand-in-gitlab", "stand-in-gitlab.service"):
        shutil.copy(root / SHARED / name, folder)
    return folder


def _registry(root: Path) -> Path:
    """A registry of images, with the configuration that the tests of the images have for it."""
    folder = _fresh(root, "registry")
    shutil.copy(root / "tests/images/services/registry.yml", folder)
    return folder


def _fresh(root: Path, name: str) -> Path:
    folder = root / ".cache/molecule/contexts" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


_CONTEXTS: dict[str, Callable[[Path], Path]] = {
    f"{PREFIX}/gitlab:bookworm": _gitlab,
    f"{PREFIX}/registry:bookworm": _registry,
}

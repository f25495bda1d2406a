"""Builds the packages that take the place of GitLab's own in the tests: gitlab-runner, and that of its helper images.

They are named and laid out as the real ones, and their descriptions say what they are.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from toolchain.images.docker import run_step
from toolchain.molecule.python_packages import tree

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FOLDER", "VERSIONS", "build_packages"]

FOLDER = ".cache/molecule/packages"
VERSIONS = ("18.5.0", "18.6.0")
"""Two, for there is an upgrade to test."""
NEEDS = ("httpx2", "tomli-w")
BUILD_S = 120.0
DATE = 1_700_000_000
"""Of everything in the packages that is newer, in seconds since 1970."""
_LIBRARY = "usr/lib/gitlab-runner-stand-in"
_SOURCES = "toolchain/molecule/gitlab-runner"
_NOTICE = "This is a stand-in for tests of nx-dte, no product of GitLab: do not install it anywhere else."


def build_packages(root: Path) -> None:
    """Build all of them, in every version.

    Raises:
        DockerError: a step failed.
    """
    work = root / ".cache/molecule/package"
    for version in VERSIONS:
        _pack(root, _runner(root, work, version), f"gitlab-runner_{version}_all.deb")
        _pack(root, _helper(work, version), f"gitlab-runner-helper-images_{version}_all.deb")


def _pack(root: Path, folder: Path, name: str) -> None:
    """Pack a tree; what is the same already stays, and else is replaced at one stroke: a scenario may be reading it."""
    target = root / FOLDER / name
    target.parent.mkdir(parents=True, exist_ok=True)
    new = target.with_suffix(".new")
    # Compressing takes longer than installing what is not compressed. The date makes equal trees equal packages.
    command = ["env", f"SOURCE_DATE_EPOCH={DATE}", "dpkg-deb", "--root-owner-group", "-Znone", "--build"]
    run_step([*command, str(folder), str(new)], timeout_s=BUILD_S)
    if target.exists() and target.read_bytes() == new.read_bytes():
        new.unlink()
    else:
        new.replace(target)


def _runner(root: Path, work: Path, version: str) -> Path:
    folder = _fresh(work)
    shutil.copytree(root / _SOURCES, folder / "DEBIAN", ignore=shutil.ignore_patterns("gitlab-runner"))
    control = "Depends: python3 (>= 3.11), git, ca-certificates\nRecommends: gitlab-runner-helper-images\n"
    _control(folder, "gitlab-runner", version, control)
    program = folder / "usr/bin/gitlab-runner"
    program.parent.mkdir(parents=True)
    text = (root / _SOURCES / "gitlab-runner").read_text(encoding="utf-8")
    program.write_text(text.replace("@VERSION@", version), encoding="utf-8")
    program.chmod(0o755)
    ignored = shutil.ignore_patterns("__pycache__", "bin")
    shutil.copytree(tree(root, NEEDS), folder / _LIBRARY / "packages", ignore=ignored)
    code = folder / _LIBRARY / "code/tests/support/runner"
    shutil.copytree(root / "tests/support/runner", code, ignore=ignored)
    return folder


def _helper(work: Path, version: str) -> Path:
    folder = _fresh(work)
    _control(folder, "gitlab-runner-helper-images", version, "")
    images = folder / "usr/lib/gitlab-runner/helper-images"
    images.mkdir(parents=True)
    (images / "README").write_text(f"{_NOTICE} The stand-in needs no helper image.\n", encoding="utf-8")
    return folder


def _fresh(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "DEBIAN").parent.mkdir(parents=True, exist_ok=True)
    return folder


def _control(folder: Path, name: str, version: str, more: str) -> None:
    (folder / "DEBIAN").mkdir(exist_ok=True)
    lines = f"Package: {name}\nVersion: {version}\nArchitecture: all\n{more}"
    lines += "Maintainer: The nx-dte authors <nx-dte@example.invalid>\nSection: misc\nPriority: optional\n"
    lines += f"Description: stand-in for {name} in tests of nx-dte\n {_NOTICE}\n"
    (folder / "DEBIAN/control").write_text(lines, encoding="utf-8")

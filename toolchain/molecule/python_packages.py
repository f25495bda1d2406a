"""Trees of locked Python packages, for programs of the tests that run on hosts with Debian's Python."""

from __future__ import annotations

import hashlib
import platform
import re
import shutil
from importlib import metadata
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from toolchain.images.docker import run_step

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

__all__ = ["closure", "locked", "tree"]

LOCK = "requirements/dev.txt"
PYTHON = "3.11"
"""Debian 12's; what is pure Python also runs on Debian 13's."""
INSTALL_S = 300.0
_ENTRY = re.compile(r"^([A-Za-z0-9._-]+)==.*(?:\n +--hash=.*)+$", re.MULTILINE)


def tree(root: Path, wanted: Iterable[str]) -> Path:
    """A folder with these packages and all they need, as the lock has them; made once, then taken as it is.

    Raises:
        DockerError: the installer failed.
    """
    lines = locked((root / LOCK).read_text(encoding="utf-8"), closure(wanted))
    mark = hashlib.sha256("\n".join([PYTHON, platform.machine(), *lines]).encode()).hexdigest()[:12]
    folder = root / ".cache/molecule/python" / mark
    if folder.exists():
        return folder
    unfinished = folder.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    (unfinished.parent / f"{mark}.txt").write_text("\n".join([*lines, ""]), encoding="utf-8")
    command = [str(root / ".venv/bin/uv"), "pip", "install", "--quiet", "--require-hashes", "--no-deps"]
    command += ["--python-version", PYTHON, "--python-platform", f"{platform.machine()}-manylinux_2_31"]
    command += ["--only-binary", ":all:", "--target", str(unfinished)]
    run_step([*command, "--requirement", str(unfinished.parent / f"{mark}.txt")], timeout_s=INSTALL_S)
    unfinished.rename(folder)
    return folder


def closure(wanted: Iterable[str]) -> set[str]:
    """Names of the packages, and of all that they need, as the project's environment knows them."""
    found: set[str] = set()
    open_ones = [Requirement(text) for text in wanted]
    while open_ones:
        requirement = open_ones.pop()
        name = canonicalize_name(requirement.name)
        asked = {"", *requirement.extras}
        if name in found and not requirement.extras:
            continue
        found.add(name)
        open_ones += [
            needed
            for needed in map(Requirement, metadata.requires(name) or ())
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in asked)
        ]
    return found


def locked(lock: str, names: set[str]) -> list[str]:
    """The lock's entries, with their hashes, of these packages.

    Raises:
        ValueError: it lacks some.
    """
    entries: dict[str, str] = {canonicalize_name(match[1]): match[0] for match in _ENTRY.finditer(lock)}
    if missing := sorted(names - entries.keys()):
        raise ValueError(f"{LOCK} lacks {', '.join(missing)}; run `make lock`")
    return [entries[name] for name in sorted(names)]

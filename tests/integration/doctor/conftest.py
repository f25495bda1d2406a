"""Real checkouts, and the command in a job's place."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from nx_dte.doctor import Role
from nx_dte.doctor.gathering import gather
from nx_dte.doctor.options import Options

if TYPE_CHECKING:
    from pathlib import Path

AUTHOR = {
    "GIT_AUTHOR_NAME": "A",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "A",
    "GIT_COMMITTER_EMAIL": "a@example.org",
}
GIT_ALONE = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
END_S = 50.0  # of a process, on a busy machine; the doctor ends by itself long before


def git(folder: Path, *arguments: str) -> str:
    """One git command that must succeed."""
    return subprocess.run(
        ["git", *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], **AUTHOR, **GIT_ALONE},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    ).stdout.strip()


def executable(file: Path, script: str) -> Path:
    """A program of a few lines of shell."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)
    return file


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What the command printed."""

    code: int
    output: str
    errors: str

    @property
    def checks(self) -> dict[str, dict[str, Any]]:
        """By id, of `--format json`."""
        return {check["id"]: check for check in json.loads(self.output)["checks"]}


@dataclass(slots=True, kw_only=True)
class Place:
    """A folder and the variables of a job in it: nothing else is inherited.

    Of programs there is git alone, unless a test adds one. Without a shell no orphan is made, which some machines take
    seconds to wait for.
    """

    folder: Path
    home: Path
    variables: dict[str, str] = field(default_factory=dict)
    command: tuple[str, ...] = (sys.executable, "-m", "nx_dte")

    @property
    def bin_folder(self) -> Path:
        """All of its PATH."""
        folder = self.home / "bin"
        if not folder.is_dir():
            folder.mkdir()
            (folder / "git").symlink_to(shutil.which("git") or "/usr/bin/git")
        return folder

    @property
    def environ(self) -> dict[str, str]:
        """The job's environment."""
        own = {
            "PATH": str(self.bin_folder),
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "TMPDIR": str(self.home),
        }
        # What the tests themselves need to find the package and to measure it.
        kept = {
            name: value
            for name, value in os.environ.items()
            if name.startswith(("PYTHON", "COV_", "COVERAGE_", "VIRTUAL_ENV"))
        }
        return {**kept, **own, **GIT_ALONE, **self.variables}

    def call(self, *arguments: str, **variables: str) -> Result:
        """`nx-dte doctor …` here."""
        ended = subprocess.run(
            [*self.command, "doctor", *arguments],
            cwd=self.folder,
            env={**self.environ, **variables},
            capture_output=True,
            text=True,
            timeout=END_S,
            check=False,
        )
        return Result(code=ended.returncode, output=ended.stdout, errors=ended.stderr)

    def checks(self, *arguments: str, **variables: str) -> dict[str, dict[str, Any]]:
        """What the checks say."""
        result = self.call("--format", "json", *arguments, **variables)
        assert result.code in {0, 78}, result.errors
        return result.checks

    def facts(self, role: Role = Role.MAIN, *, timeout_s: float = 12.0, **variables: str) -> Any:
        """What is found out here, without a process of its own."""
        options = Options(role=role, directory=self.folder, timeout_s=timeout_s)
        return gather(options, {**self.environ, **variables})


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An empty folder."""
    folder, home = tmp_path / "builds" / "demo", tmp_path / "home"
    folder.mkdir(parents=True)
    home.mkdir()
    return Place(folder=folder, home=home)


@pytest.fixture
def checkout(place: Place) -> Place:
    """A checkout with two commits."""
    git(place.folder, "init", "-q", "-b", "main")
    for text in ("one", "two"):
        (place.folder / "file").write_text(text)
        git(place.folder, "add", "file")
        git(place.folder, "commit", "-q", "-m", text)
    return place

"""The example workspace as GitLab would serve it: an origin with commits, and one fresh clone for each job."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nx_dte.demo.errors import DemoFailedError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nx_dte.demo.layout import Layout

__all__ = ["BASE_RELEASE", "Clone", "Origin", "install_dependencies", "make_origin"]

INSTALL_TIMEOUT_S = 300
GIT_TIMEOUT_S = 60
_RELEASE_FILE = "tools/release.json"
BASE_RELEASE = '{ "release": "1.3.0" }\n'
_NEVER_COPIED = shutil.ignore_patterns(
    "node_modules", ".nx", "dist", "coverage", "test-results", "*.gen.*", "*.report.json"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clone:
    """One job's checkout, with a HOME of its own: nothing but the network connects two of them."""

    path: Path
    home: Path
    commit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The repository jobs clone from. `base` is the commit before, `head` the one to be checked."""

    path: Path
    base: str
    head: str
    node_modules: Path

    def commit(self, changes: Mapping[str, str | None], message: str = "Change") -> Origin:
        """Add a commit upon `head`; `None` deletes a file. Its parent becomes the base."""
        _git(self.path, "checkout", "-q", "--detach", self.head)
        for name, content in changes.items():
            file = self.path / name
            if content is None:
                file.unlink()
                continue
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content, encoding="utf-8")
        head = _commit_all(self.path, message)
        return Origin(path=self.path, base=self.head, head=head, node_modules=self.node_modules)

    def clone(self, folder: Path) -> Clone:
        """A fresh clone of `head` under `folder`, dependencies installed."""
        path, home = folder / "checkout", folder / "home"
        home.mkdir(parents=True)
        _git(folder, "clone", "-q", "--no-checkout", str(self.path), str(path))
        _git(path, "checkout", "-q", "--detach", self.head)
        _copy_linked(self.node_modules, path / "node_modules")
        return Clone(path=path, home=home, commit=self.head)


def make_origin(layout: Layout, folder: Path, node_modules: Path) -> Origin:
    """An origin whose `head` is the example workspace and differs from `base` in a file every project depends on."""
    path = folder / "origin"
    shutil.copytree(layout.example, path, symlinks=True, ignore=_NEVER_COPIED)
    release = path / _RELEASE_FILE
    shipped = release.read_text(encoding="utf-8")
    release.write_text(BASE_RELEASE, encoding="utf-8")
    _git(path, "init", "-q", "--initial-branch=main")
    base = _commit_all(path, "Last release")
    release.write_text(shipped, encoding="utf-8")
    head = _commit_all(path, "Next release")
    return Origin(path=path, base=base, head=head, node_modules=node_modules)


def install_dependencies(layout: Layout) -> Path:
    """The example's node_modules, installed once for each state of its lock file; returns the folder."""
    layout.check()
    sources = [layout.example / name for name in ("package.json", "yarn.lock")]
    key = hashlib.sha256(b"".join(file.read_bytes() for file in sources)).hexdigest()[:16]
    home = layout.cache / "example"
    home.mkdir(parents=True, exist_ok=True)
    done = home / key
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.is_dir():
            _yarn_install(layout, sources, home / f"{key}.partial", done)
    return done / "node_modules"


def _yarn_install(layout: Layout, sources: list[Path], partial: Path, done: Path) -> None:
    """Install into `partial` and rename, so that an interrupted install is never taken for a whole one."""
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    for file in sources:
        shutil.copy(file, partial)
    yarn = ["yarn", "install", "--frozen-lockfile", "--non-interactive"]
    path = f"{layout.toolchain_path}:{os.environ.get('PATH', os.defpath)}"
    result = subprocess.run(
        [*yarn, "--cache-folder", str(layout.cache / "yarn")],
        cwd=partial,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=INSTALL_TIMEOUT_S,
        check=False,
    )
    if result.returncode != 0:
        raise DemoFailedError(
            f"yarn install of the example workspace failed:\n{result.stdout}{result.stderr}"
        )
    partial.rename(done)


def _copy_linked(source: Path, target: Path) -> None:
    """Copy a tree by hard links where the file system allows it."""
    try:
        shutil.copytree(source, target, symlinks=True, copy_function=os.link)
    except (OSError, shutil.Error):
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target, symlinks=True)


def _commit_all(repository: Path, message: str) -> str:
    """Commit everything in the work tree under a branch of its own, which clones then fetch; returns its id."""
    _git(repository, "add", "--all")
    identity = (
        "-c",
        "user.name=Corner Shop",
        "-c",
        "user.email=shop@example.com",
        "-c",
        "commit.gpgsign=false",
    )
    _git(repository, *identity, "commit", "-q", "-m", message)
    commit = _git(repository, "rev-parse", "HEAD")
    _git(repository, "branch", "--force", f"commit-{commit[:12]}", commit)
    return commit


def _git(cwd: Path, *arguments: str) -> str:
    """Run git without the user's configuration; returns what it printed."""
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    result = subprocess.run(
        ["git", "-c", "safe.directory=*", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=GIT_TIMEOUT_S,
        check=False,
    )
    if result.returncode != 0:
        raise DemoFailedError(f"git {' '.join(arguments)} failed in {cwd}: {result.stderr.strip()}")
    return result.stdout.strip()

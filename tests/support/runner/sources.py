"""The checkout of a job: fetched into the folder of its slot, or cloned, or left alone."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.runner.job import Job

__all__ = ["SourcesError", "get_sources"]

_GIT_TIMEOUT_S = 300


class SourcesError(Exception):
    """Git failed; `exit_code` is its own."""

    def __init__(self, exit_code: int) -> None:
        super().__init__(f"git exited with {exit_code}")
        self.exit_code = exit_code


# What lies there may be another user's, who runs the jobs.
_TRUST = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}


def get_sources(
    job: Job, folder: Path, write: Callable[[bytes], None], environment: dict[str, str], *, umask: int = 0o022
) -> None:
    """By GIT_STRATEGY: `fetch` (default) reuses the folder, `clone` empties it first, `empty`, `none`.

    Raises:
        SourcesError: git did not succeed.
    """
    strategy = job.variables.get("GIT_STRATEGY", "fetch")
    if strategy in {"clone", "empty"}:
        shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    if not umask:
        for made in (folder, *folder.parents[:2]):
            made.chmod(0o777)
    if strategy in {"none", "empty"}:
        write(b"Skipping Git repository setup\n")
        return
    env = {**os.environ, **environment, **_TRUST, "GIT_TERMINAL_PROMPT": "0"}

    def git(*arguments: str) -> None:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, timeout=_GIT_TIMEOUT_S, check=False, umask=umask,
        )  # fmt: skip
        write(done.stdout)
        if done.returncode != 0:
            raise SourcesError(done.returncode)

    git("init", "--quiet")
    names = subprocess.run(["git", "remote"], cwd=folder, env=env, capture_output=True, check=False).stdout
    git("remote", "set-url" if b"origin" in names.split() else "add", "origin", job.git.url)
    depth = [f"--depth={job.git.depth}"] if job.git.depth else []
    if not job.git.depth and (folder / ".git/shallow").exists():
        depth = ["--unshallow"]
    for name in ("shallow.lock", "index.lock", "HEAD.lock"):
        (folder / ".git" / name).unlink(missing_ok=True)
    git("fetch", "origin", "--no-recurse-submodules", "--quiet", "--prune", *depth, *job.git.refspecs)
    write(f"Checking out {job.git.sha[:8]} as detached HEAD...\n".encode())
    git("-c", "submodule.recurse=false", "checkout", "-f", "-q", job.git.sha)
    if job.variables.get("GIT_CLEAN_FLAGS") != "none":
        git("clean", *(job.variables.get("GIT_CLEAN_FLAGS") or "-ffdx").split())

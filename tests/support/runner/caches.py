"""Caches in a folder of this host."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import quote

from tests.support.runner.archives import matching, pack, unpack

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.runner.job import CacheSpec, Job

__all__ = ["restore", "save"]


def restore(
    job: Job, cache: CacheSpec, cache_dir: Path, project_dir: Path, say: Callable[[str], None]
) -> None:
    """Unpack the newest archive of the key, or of the first fallback key that has one."""
    if cache.policy == "push":
        return
    for key in (cache.key, *cache.fallback_keys):
        say(f"Checking cache for {key}...")
        file = _file(job, key, cache_dir)
        if file.exists():
            unpack(file.read_bytes(), project_dir)
            say("Successfully extracted cache")
            return
    say("WARNING: No cache found")


def save(
    job: Job, cache: CacheSpec, cache_dir: Path, project_dir: Path, say: Callable[[str], None], *, is_success: bool
) -> None:  # fmt: skip
    """Pack the paths for the next job, where policy and `when` want it."""
    if cache.policy == "pull" or cache.when not in {"always", "on_success" if is_success else "on_failure"}:
        return
    say(f"Creating cache {cache.key}...")
    paths = matching(project_dir, cache.paths)
    if not paths:
        say(f"WARNING: {', '.join(cache.paths)}: no matching files")
        return
    file = _file(job, cache.key, cache_dir)
    file.parent.mkdir(parents=True, exist_ok=True)
    new = file.with_suffix(f".{job.id}")
    new.write_bytes(pack(project_dir, paths))
    os.replace(new, file)  # noqa: PTH105 - two jobs may save one key at once; each archive must be whole
    say("Created cache")


def _file(job: Job, key: str, cache_dir: Path) -> Path:
    return cache_dir / f"project-{job.project_id}" / quote(key, safe="") / "cache.zip"

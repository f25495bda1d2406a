"""Whether a cache is stored once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nx_dte.pipeline.finding import FaultCode, Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nx_dte.pipeline.cast import Cast
    from nx_dte.pipeline.ci_job import CiJob

__all__ = ["check_caches"]

_MANY = 2
"""What an unknown number of copies counts as."""


def check_caches(cast: Cast) -> Iterator[Finding]:
    """Do several jobs store the same cache?"""
    pushers: dict[str, list[CiJob]] = {}
    for job in (*cast.mains, *cast.agents):
        for cache in _caches(job.body.get("cache")):
            if str(cache.get("policy", "pull-push")) in {"pull-push", "push"}:
                pushers.setdefault(repr(cache.get("key", "default")), []).append(job)
    for jobs in pushers.values():
        count = sum(_MANY if job.copies is None else job.copies for job in jobs)
        if count > 1:
            yield Finding(
                code=FaultCode.CACHE_PUSHERS,
                place=jobs[0].place_of("cache"),
                message=f"{count} jobs of a pipeline store the same cache",
                jobs=tuple(job.name for job in jobs),
            )


def _caches(value: Any) -> list[dict[str, Any]]:
    entries = value if isinstance(value, list) else [value]
    return [entry for entry in entries if isinstance(entry, dict) and entry]

"""Which artifacts go. Pure: times and sizes come in, a choice comes out."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from nx_dte.model.artifact import Artifact, IdleArtifact

FORGET_TASKS_AFTER: Final = timedelta(days=90)
"""How long a task's usual duration, and how its hash ended, are remembered after they were last seen."""
ABANDONED_AFTER: Final = timedelta(days=1)
"""An upload that has not become an artifact after so long never will."""
TOUCHES_PER_GRACE: Final = 4
SLACK: Final = 20
"""Once the limit is met, a twentieth of it is freed as well, so that not every upload must make room."""
LEAST_SHARE: Final = 10
"""On a full disk at least a tenth of all artifacts' bytes is freed,"""
MOST_SHARE: Final = 2
"""and at most a half in one round: one huge artifact must not sweep everything away."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How long things are kept; a zero keeps them for ever, or sets no limit."""

    keep_runs: timedelta
    """After their end."""
    keep_cache_entries: timedelta
    """After their last use."""
    grace: timedelta
    """What was used within it stays: a lookup's answer may be about to become a hit."""
    max_bytes: int
    """Of all artifacts together."""

    @property
    def touch_every(self) -> timedelta:
        """How much the noted time of last use may lag behind; reads stay cheap when it may lag a little."""
        return self.grace / TOUCHES_PER_GRACE

    def idle_before(self, now: datetime) -> datetime:
        """What was noted as used before this moment has certainly not been used within the grace."""
        return now - self.grace - self.touch_every

    def excess_bytes(self, *, stored: int, incoming: int = 0, is_disk_full: bool = False) -> int:
        """How many bytes should be freed before `incoming` ones have room."""
        excess = 0
        is_over = self.max_bytes > 0 and stored + incoming > self.max_bytes
        if is_over and incoming <= self.max_bytes:  # what can never fit is no reason to delete anything
            excess = stored + incoming - self.max_bytes + self.max_bytes // SLACK
        if is_disk_full:
            least, most = stored // LEAST_SHARE, stored // MOST_SHARE
            excess = max(excess, min(max(incoming, least), most))
        return min(excess, stored)


def choose(idle: Iterable[IdleArtifact], *, idle_before: datetime, excess_bytes: int) -> tuple[Artifact, ...]:
    """Those that go: all that nothing refers to, then the longest unused until `excess_bytes` are freed.

    Nothing that a live run needs, and nothing used since `idle_before`, goes in any case.
    """
    may_go = sorted(
        (one for one in idle if not one.is_needed and one.artifact.last_used_at < idle_before),
        key=lambda one: (one.is_named, one.artifact.last_used_at, one.artifact.artifact_id),
    )
    chosen: list[Artifact] = []
    freed = 0
    for one in may_go:
        if one.is_named and freed >= excess_bytes:
            break
        chosen.append(one.artifact)
        freed += one.artifact.size
    return tuple(chosen)

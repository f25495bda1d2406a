"""How long tasks took before: what the scheduler's priorities are made of."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class DurationKey(NamedTuple):
    """What a duration is remembered by, within a workspace."""

    project: str
    target: str
    configuration: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Durations:
    """Learned seconds of the tasks in question, and the median of each target."""

    exact_s: Mapping[DurationKey, float] = field(default_factory=dict)
    target_median_s: Mapping[str, float] = field(default_factory=dict)

    def expect(self, key: DurationKey, *, default_s: float) -> float:
        """The task's own history, else its target's median, else the default."""
        own = self.exact_s.get(key)
        if own is not None:
            return own
        return self.target_median_s.get(key.target, default_s)

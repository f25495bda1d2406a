"""What a decision wants done afterwards, gathered: each wake-up once, counters summed, observations all kept."""

from collections import Counter as Tally
from collections.abc import Iterator

from nx_dte.coordinator.scheduler.effects import (
    Counter,
    CountMetric,
    Effect,
    Histogram,
    ObserveMetric,
    WakeAgents,
    WakeMain,
)

Labels = tuple[tuple[str, str], ...]


class EffectsLog:
    """Gathers effects in the order of their first mention."""

    __slots__ = ("_counts", "_observed", "_wakes")

    def __init__(self) -> None:
        self._wakes: dict[WakeAgents | WakeMain, None] = {}
        self._counts: Tally[tuple[Counter, Labels]] = Tally()
        self._observed: list[ObserveMetric] = []

    def wake(self, effect: WakeAgents | WakeMain) -> None:
        """Wake once, however often it is asked for."""
        self._wakes[effect] = None

    def count(self, counter: Counter, **labels: str) -> None:
        """Add one to a counter."""
        self._counts[counter, tuple(labels.items())] += 1

    def observe(self, histogram: Histogram, seconds: float, **labels: str) -> None:
        """Feed a histogram; clocks of other machines may run ahead, so never less than zero."""
        self._observed.append(
            ObserveMetric(histogram=histogram, seconds=max(0.0, seconds), labels=tuple(labels.items()))
        )

    def __iter__(self) -> Iterator[Effect]:
        yield from self._wakes
        for (counter, labels), by in self._counts.items():
            yield CountMetric(counter=counter, labels=labels, by=by)
        yield from self._observed

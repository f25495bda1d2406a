"""A decision's working copy of one kind of row: what was loaded, and what became of it."""

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Rows(Generic[K, V]):
    """Values by key; remembers which are new and which have changed, in the order of their first change."""

    __slots__ = ("_added", "_changed", "_current")

    def __init__(self) -> None:
        self._current: dict[K, V] = {}
        self._added: dict[K, None] = {}
        self._changed: dict[K, None] = {}

    def load(self, key: K, value: V) -> None:
        """Take a value from the slice; slices overlap, and what has changed already must stay."""
        self._current.setdefault(key, value)

    def add(self, key: K, value: V) -> None:
        """A row that the store does not have."""
        self._current[key] = value
        self._added[key] = None

    def put(self, key: K, value: V) -> None:
        """A new value of a row."""
        self._current[key] = value
        if key not in self._added:
            self._changed[key] = None

    def get(self, key: K) -> V:
        """The value as it is now."""
        return self._current[key]

    def values(self) -> tuple[V, ...]:
        """Everything loaded or added."""
        return tuple(self._current.values())

    def added(self) -> Iterator[V]:
        """The rows to insert."""
        return (self._current[key] for key in self._added)

    def changed(self) -> Iterator[V]:
        """The rows to update."""
        return (self._current[key] for key in self._changed)

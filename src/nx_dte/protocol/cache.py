"""Messages about cache entries."""

from __future__ import annotations

from pydantic import Field

from nx_dte.protocol.base import Identifier, WireModel


class Lookup(WireModel):
    """Which of these hashes have an entry?"""

    hashes: tuple[Identifier, ...] = Field(max_length=100_000)
    ci_run_id: Identifier | None = None


class CacheEntryView(WireModel):
    """An entry that may be restored."""

    artifact_id: str
    size: int
    scope: str


class LookupAnswer(WireModel):
    """Entries by hash; a hash without one is missing."""

    entries: dict[str, CacheEntryView]


class StoreAnswer(WireModel):
    """`stored` is false when an entry was there before: entries are write-once."""

    stored: bool
    scope: str

"""Waiting for the database at start: it may come up later than its coordinator, but not much."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from nx_dte.coordinator.store.errors import StoreUnreachableError
from nx_dte.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from nx_dte.coordinator.store.sql.store import SqlStore

TRY_EVERY_S = 0.5
SAY_EVERY_S = 5.0
_MOST_SHOWN = 300
# No waiting helps. libpq gives no code for what happens before a session exists, only the server's own words.
_WRONG = ("password authentication failed", "no password supplied", "does not exist", "no pg_hba.conf entry")


async def migrate_when_reachable(store: SqlStore, *, wait_s: float, say: Callable[[str], None]) -> None:
    """Bring the schema up to date as soon as the database answers; `say` is told why it takes time.

    Raises:
        StoreUnreachableError: it did not answer within `wait_s`.
        ConfigurationError: it answered that user, password or database are wrong, or its schema is newer than we are.
    """
    deadline = time.monotonic() + wait_s
    say_at = time.monotonic()
    while True:
        try:
            return await asyncio.to_thread(store.migrate)
        except StoreUnreachableError as error:
            why = _reason(error)
            if any(words in why for words in _WRONG):
                raise ConfigurationError(
                    f"the database {store.name} refuses us: {why}; correct database_url"
                ) from error
            if time.monotonic() >= deadline:
                raise StoreUnreachableError(
                    f"the database {store.name} did not answer within {wait_s:g} s: {why}; start it, or correct "
                    "database_url (NX_DTE_DATABASE_WAIT_S says how long to wait)"
                ) from error
        if time.monotonic() >= say_at:
            say(f"nx-dte coordinator waits for the database {store.name}: {why}")
            say_at = time.monotonic() + SAY_EVERY_S
        await asyncio.sleep(TRY_EVERY_S)


def _reason(error: StoreUnreachableError) -> str:
    """The driver's words in one line; it never names the password."""
    words = " ".join(str(getattr(error.__cause__, "orig", None) or error.__cause__ or error).split())
    return words[:_MOST_SHOWN]

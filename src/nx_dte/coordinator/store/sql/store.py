"""The store itself: engines, threads, and the way from asyncio into them and back."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from nx_dte.coordinator.store.errors import StoreClosedError
from nx_dte.coordinator.store.sql import dialect
from nx_dte.coordinator.store.sql.migrate import migrate
from nx_dte.coordinator.store.sql.reads import SqlReads
from nx_dte.coordinator.store.sql.writer import GroupCommitWriter, PooledWriter

if TYPE_CHECKING:
    from collections.abc import Callable

    from nx_dte.coordinator.store.base import Reads, Session
    from nx_dte.coordinator.store.sql.writer import Writer

T = TypeVar("T")


class SqlStore:
    """`Store` on SQLite or PostgreSQL."""

    def __init__(self, database_url: str) -> None:
        url = dialect.parse_url(database_url)
        self._write_engine = dialect.open_engine(url, writes=True)
        self._read_engine = dialect.open_engine(url, writes=False)
        self._writer: Writer = (
            GroupCommitWriter(self._write_engine)
            if dialect.is_embedded(url)
            else PooledWriter(self._write_engine)
        )
        self._readers = ThreadPoolExecutor(dialect.READERS, thread_name_prefix="nx-dte-reader")

    def migrate(self) -> None:
        """Bring the schema up to date; blocks."""
        migrate(self._write_engine)

    async def write(self, work: Callable[[Session], T]) -> T:
        """Run the work in a transaction."""
        return await asyncio.wrap_future(self._writer.submit(work))

    async def read(self, work: Callable[[Reads], T]) -> T:
        """Run the work on a snapshot."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, work)
        except RuntimeError as error:
            if "shutdown" in str(error):
                raise StoreClosedError from error
            raise

    def _read(self, work: Callable[[Reads], T]) -> T:
        with self._read_engine.connect() as connection:
            return work(SqlReads(connection))

    def close(self) -> None:
        """Finish what is queued and let go of the database; blocks."""
        self._writer.close()
        self._readers.shutdown()
        self._write_engine.dispose()
        self._read_engine.dispose()

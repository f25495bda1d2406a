"""The store itself: engines, threads, and the way from asyncio into them and back."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy.exc import IntegrityError, OperationalError

from nx_dte.coordinator.store.errors import ConflictError, StoreClosedError
from nx_dte.coordinator.store.sql import dialect
from nx_dte.coordinator.store.sql.migrate import migrate
from nx_dte.coordinator.store.sql.reads import SqlReads
from nx_dte.coordinator.store.sql.writer import GroupCommitWriter, PooledWriter
from nx_dte.coordinator.store.sql.writes import SqlSession

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection

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
        return await asyncio.wrap_future(self._writer.submit(lambda connection: _guarded(connection, work)))

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


def _guarded(connection: Connection, work: Callable[[Session], T]) -> T:
    try:
        return work(SqlSession(connection))
    except IntegrityError as error:
        raise ConflictError(f"the database refused a change: {error.orig}") from error
    except OperationalError as error:  # a deadlock or a serialization failure on PostgreSQL; a full disk
        raise ConflictError(f"the database could not make a change: {error.orig}") from error

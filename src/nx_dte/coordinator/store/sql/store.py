"""The store itself: engines, threads, and the way from asyncio into them and back."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy.exc import DBAPIError

from nx_dte.coordinator.store.errors import StoreClosedError
from nx_dte.coordinator.store.sql import dialect, revisions
from nx_dte.coordinator.store.sql.migrate import migrate
from nx_dte.coordinator.store.sql.reads import SqlReads
from nx_dte.coordinator.store.sql.writer import GroupCommitWriter, PooledWriter, translated
from nx_dte.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection

    from nx_dte.coordinator.store.base import Reads, Session
    from nx_dte.coordinator.store.sql.writer import Writer

T = TypeVar("T")


class SqlStore:
    """`Store` on SQLite or PostgreSQL."""

    def __init__(self, database_url: str) -> None:
        url = dialect.parse_url(database_url)
        self.name = url.render_as_string(hide_password=True)
        """For messages: the URL without its password."""
        self._write_engine = dialect.open_engine(url, writes=True)
        self._read_engine = dialect.open_engine(url, writes=False)
        self._writer: Writer = (
            GroupCommitWriter(self._write_engine)
            if dialect.is_embedded(url)
            else PooledWriter(self._write_engine)
        )
        self._readers = ThreadPoolExecutor(dialect.READERS, thread_name_prefix="nx-dte-reader")

    def migrate(self) -> None:
        """Bring the schema up to date; blocks.

        Raises:
            StoreUnreachableError: the database does not answer.
            ConfigurationError: it is newer than this version, or its user may not change its schema.
        """
        try:
            migrate(self._write_engine)
        except DBAPIError as error:
            if dialect.is_forbidden(error):
                raise ConfigurationError(
                    f"the user of the database {self.name} may not make tables in it: {error.orig}; let it own the "
                    "database, or grant it CREATE on the schema"
                ) from error
            if (what := dialect.what_is_wrong(error)) is not None:
                raise ConfigurationError(
                    f"the database {self.name} cannot be used ({error.orig}); {what}"
                ) from error
            raise translated(error) from error

    def pending_migrations(self) -> int:
        """How many schema changes of this version the database lacks; blocks."""
        with self._reading() as connection:
            return revisions.pending(connection)

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
        with self._reading() as connection:
            return work(SqlReads(connection))

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        try:
            with self._read_engine.connect() as connection:
                yield connection
        except DBAPIError as error:
            raise translated(error) from error

    def close(self) -> None:
        """Finish what is queued and let go of the database; blocks."""
        self._writer.close()
        self._readers.shutdown()
        self._write_engine.dispose()
        self._read_engine.dispose()

"""Writing: one thread with group commit for SQLite, a pool of transactions for PostgreSQL.

SQLite has one write lock, so one thread does all writing. Works that queue up while a commit is under way share the
next transaction and its one sync of the disk. A work that fails before it has written anything (a refusal does) simply
has no part in it; if anything else fails, all is undone and every work is tried again in a transaction of its own, so
that one bad event never spoils another.
On PostgreSQL each work is a transaction, and the CI run's row lock keeps events of one run in order.
"""

from __future__ import annotations

import queue
import sqlite3
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from nx_dte.coordinator.store.errors import (
    ConflictError,
    StoreClosedError,
    StoreFullError,
    StoreUnreachableError,
)
from nx_dte.coordinator.store.sql.dialect import WRITERS, is_unreachable
from nx_dte.coordinator.store.sql.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection, Engine

T = TypeVar("T")
MAX_GROUP = 64
# The second: no room for the index of the write-ahead log, which SQLite reports as a failed read or write.
SQLITE_FULL = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE})
POSTGRESQL_DISK_FULL = "53100"


class Writer(Protocol):
    """Runs works in transactions."""

    def submit(self, work: Callable[[UnitOfWork], T]) -> Future[T]:
        """Run the work; the future is done when its changes are durable."""
        ...

    def close(self) -> None:
        """Finish what is queued, then stop."""
        ...


@dataclass(frozen=True, slots=True)
class _Queued:
    work: Callable[[UnitOfWork], Any]
    future: Future[Any]


class GroupCommitWriter:
    """One thread, one connection, few commits."""

    def __init__(self, engine: Engine, *, max_group: int = MAX_GROUP) -> None:
        self._engine = engine
        self._max_group = max_group
        self._queue: queue.SimpleQueue[_Queued | None] = queue.SimpleQueue()
        self._is_closed = False
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="nx-dte-writer", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[UnitOfWork], T]) -> Future[T]:
        """Queue the work."""
        future: Future[T] = Future()
        with self._lock:  # so that nothing is queued behind the end marker
            if self._is_closed:
                raise StoreClosedError
            self._queue.put(_Queued(work, future))
        return future

    def close(self) -> None:
        """Finish what is queued, then stop the thread."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        is_open = True
        while is_open:
            group, is_open = self._next_group()
            # From here on a work can no longer be cancelled: its waiter may go away, its result has a place to go.
            group = [item for item in group if item.future.set_running_or_notify_cancel()]
            if group:
                self._commit(group)

    def _next_group(self) -> tuple[list[_Queued], bool]:
        group: list[_Queued] = []
        item = self._queue.get()
        while item is not None:
            group.append(item)
            if len(group) >= self._max_group:
                return group, True
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return group, True
        return group, False

    def _commit(self, group: Sequence[_Queued]) -> None:
        try:
            with self._engine.begin() as connection:
                outcomes = _run_together(connection, group)
        except Exception as error:  # noqa: BLE001 - handed to whoever waits for it
            if len(group) == 1:
                group[0].future.set_exception(translated(error))
                return
            for item in group:
                self._commit([item])
            return
        for item, (result, refusal) in zip(group, outcomes, strict=True):
            if refusal is None:
                item.future.set_result(result)
            else:
                item.future.set_exception(refusal)


def _run_together(connection: Connection, group: Sequence[_Queued]) -> list[tuple[Any, Exception | None]]:
    session = UnitOfWork(connection)
    outcomes: list[tuple[Any, Exception | None]] = []
    for item in group:
        before = session.writes
        try:
            outcomes.append((item.work(session), None))
        except Exception as refusal:
            if session.writes != before:
                raise  # half-written: undo everything
            outcomes.append((None, refusal))
    session.flush()
    return outcomes


def translated(error: Exception) -> Exception:
    """A database's own words for 'no room' and 'not now' become ours."""
    if isinstance(error, DBAPIError) and is_unreachable(error):
        return StoreUnreachableError()
    if not isinstance(error, IntegrityError | OperationalError):
        return error
    if _is_full(error.orig):
        return StoreFullError(
            f"the database has no space left ({error.orig}), nothing was changed; make room where it keeps its files"
        )
    # A constraint, a deadlock, a lock. The first line only: the rest may quote the row.
    return ConflictError(f"the database refused a change: {str(error.orig).splitlines()[0]}; try again")


def _is_full(cause: BaseException | None) -> bool:
    if isinstance(cause, sqlite3.Error):
        return getattr(cause, "sqlite_errorcode", None) in SQLITE_FULL
    return getattr(cause, "sqlstate", None) == POSTGRESQL_DISK_FULL


class PooledWriter:
    """A transaction for each work, several at once."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._pool = ThreadPoolExecutor(WRITERS, thread_name_prefix="nx-dte-writer")

    def submit(self, work: Callable[[UnitOfWork], T]) -> Future[T]:
        """Run the work in a thread of the pool."""

        def run() -> T:
            try:
                with self._engine.begin() as connection:
                    session = UnitOfWork(connection)
                    result = work(session)
                    session.flush()
                    return result
            except DBAPIError as error:
                raise translated(error) from error

        try:
            return self._pool.submit(run)
        except RuntimeError as error:
            raise StoreClosedError from error

    def close(self) -> None:
        """Finish what is queued, then stop the threads."""
        self._pool.shutdown()

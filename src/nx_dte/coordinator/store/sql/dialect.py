"""Everything in which SQLite and PostgreSQL differ."""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, InterfaceError, InternalError, NoSuchModuleError, OperationalError

from nx_dte.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import URL, Connection, Engine, Table
    from sqlalchemy.exc import DBAPIError

    Insert = sqlite.Insert | postgresql.Insert

BUSY_TIMEOUT_S = 30
READERS = 4
WRITERS = 8
_MIGRATION_LOCK = 0x6E786474  # any constant, the same in all replicas

# How a connection notices that the server's machine is gone: libpq's own parameters; the URL may set others.
_PATIENCE = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
    "application_name": "nx-dte",
}
# How the server notices that we are: a coordinator that is frozen in a transaction holds a CI run's lock, and the
# others wait for it.
_SERVER_PATIENCE_MS = {
    "idle_in_transaction_session_timeout": 10_000,
    "lock_timeout": 5_000,
    "statement_timeout": 30_000,
}
_FORBIDDEN = "42501"
# The server stops, starts, has become read-only, has no connection left, or has given up on a frozen session.
_GONE = frozenset({"57P01", "57P02", "57P03", "25006", "53300", "25P03"})

_DAMAGED = frozenset({sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT})
_CLOSED = frozenset(
    {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}
)

_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA foreign_keys = ON",
    # FULL, not NORMAL: with NORMAL a power cut takes back commits that were already answered, and main would wait
    # behind an event number that is given out a second time. Group commit spreads the price of the sync.
    "PRAGMA synchronous = FULL",
    "PRAGMA cache_size = -8192",  # KiB, for each of five connections
    "PRAGMA temp_store = MEMORY",
)


def parse_url(database_url: str) -> URL:
    """Check the URL and choose the driver."""
    try:
        url = make_url(database_url)
    except ArgumentError as error:
        raise ConfigurationError(
            "database_url is no SQLAlchemy URL; e.g. postgresql://user@host/name"
        ) from error
    if url.drivername == "postgresql":
        url = url.set(drivername="postgresql+psycopg")
    if url.get_backend_name() not in {"sqlite", "postgresql"}:
        raise ConfigurationError(f"database_url names {url.get_backend_name()}; use sqlite or postgresql")
    return url


def is_embedded(url: URL) -> bool:
    """Whether this process's machine holds the database, so that one writer thread is best."""
    return url.get_backend_name() == "sqlite"


def open_engine(url: URL, *, writes: bool) -> Engine:
    """An engine whose transactions suit their use: SQLite's writing ones take the write lock at once."""
    if not is_embedded(url):
        return _open_server(url, writes=writes)
    if url.database in {None, "", ":memory:"}:
        raise ConfigurationError(
            "database_url must name a file: an in-memory database would not survive a restart"
        )
    file = Path(str(url.database))
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file.touch(mode=0o600)  # SQLite gives the log beside it the same mode
    engine = create_engine(
        url,
        pool_size=1 if writes else READERS,
        max_overflow=0,
        connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False},
    )
    _own_transactions(engine, "BEGIN IMMEDIATE" if writes else "BEGIN")
    return engine


def _open_server(url: URL, *, writes: bool) -> Engine:
    """PostgreSQL: a read is one snapshot, a write waits for the locks it needs."""
    try:
        engine = create_engine(
            url,
            pool_size=WRITERS if writes else READERS,
            pool_pre_ping=True,
            isolation_level="READ COMMITTED" if writes else "REPEATABLE READ",
            connect_args={name: value for name, value in _PATIENCE.items() if name not in url.query},
        )
    except (NoSuchModuleError, ImportError) as error:
        raise ConfigurationError(
            "the PostgreSQL driver is not installed; install nx-dte[coordinator]"
        ) from error

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: object) -> None:
        connection.autocommit = True
        for name, milliseconds in _SERVER_PATIENCE_MS.items():
            connection.execute(f"SET {name} = {milliseconds}")
        connection.autocommit = False
        connection.read_only = not writes

    return engine


def is_forbidden(error: DBAPIError) -> bool:
    """Whether the database's user lacks the right to do this."""
    return getattr(error.orig, "sqlstate", None) == _FORBIDDEN


def what_is_wrong(error: DBAPIError) -> str | None:
    """What a person must do about an embedded database that cannot be used at all, if the error says that it cannot."""
    code = getattr(error.orig, "sqlite_errorcode", 0) & 0xFF  # without what SQLite adds to its primary codes
    if code in _DAMAGED:
        return "it is damaged, or no database: restore a backup, or move it away to begin anew"
    if code in _CLOSED:
        return "let the coordinator's user read and write it and its folder"
    return None


def is_unreachable(error: DBAPIError) -> bool:
    """Whether the error says that the server cannot be spoken to now, whatever was asked of it."""
    if not isinstance(error, OperationalError | InterfaceError | InternalError):
        return False
    sqlstate = getattr(error.orig, "sqlstate", "")  # SQLite's errors have none; None: the server said nothing
    return error.connection_invalidated or sqlstate is None or sqlstate in _GONE or sqlstate.startswith("08")


def _own_transactions(engine: Engine, begin: str) -> None:
    """Take transaction control away from the driver, which begins too late and not at all before reads."""

    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _record: object) -> None:
        connection.isolation_level = None
        for pragma in _PRAGMAS:
            connection.execute(pragma)

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql(begin)


def insert(dialect_name: str, table: Table) -> Insert:
    """An INSERT that knows ON CONFLICT."""
    return postgresql.insert(table) if dialect_name == "postgresql" else sqlite.insert(table)


@contextmanager
def migration_lock(connection: Connection) -> Iterator[None]:
    """Let one process migrate at a time, for as long as it takes. SQLite's BEGIN IMMEDIATE does so by itself."""
    if connection.dialect.name == "postgresql":
        for name in _SERVER_PATIENCE_MS:
            connection.execute(text(f"SET LOCAL {name} = 0"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _MIGRATION_LOCK})
    yield

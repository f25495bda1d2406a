"""Fixtures: a PostgreSQL server for all tests of this process, and a database of its own for each that asks."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support.postgres import PostgresServer, find_server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TEMPLATE = "migrated"
ON_POSTGRESQL = pytest.param("postgresql", marks=[pytest.mark.slow, pytest.mark.needs_postgresql])
DIALECTS = ["sqlite", ON_POSTGRESQL]


@pytest.fixture(scope="session")
def postgres(repository_root: Path) -> Iterator[PostgresServer]:
    """A running server; tests that restart it ask for `own_postgres`."""
    yield from _server(repository_root)


@pytest.fixture
def own_postgres(repository_root: Path) -> Iterator[PostgresServer]:
    """A server of the test's own, to be stopped and killed at will."""
    yield from _server(repository_root)


def _server(root: Path) -> Iterator[PostgresServer]:
    programs = find_server(root)
    if programs is None:
        pytest.skip(
            "there is no PostgreSQL here, and `make setup` could not get one; install Debian's postgresql"
        )
    with PostgresServer.new(programs) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_template(postgres: PostgresServer) -> str:
    """A migrated, empty database to copy from: migrating each test's anew would take most of its time."""
    from nx_dte.coordinator.store.sql.store import SqlStore

    name = postgres.create_database()
    store = SqlStore(postgres.url(name))
    store.migrate()
    store.close()
    return name


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, as a file."""
    from nx_dte.coordinator.store.sql.store import SqlStore

    file = tmp_path_factory.mktemp("template") / "migrated.sqlite3"
    store = SqlStore(f"sqlite:///{file}")
    store.migrate()
    store.close()
    return file


@pytest.fixture
def postgres_url(postgres: PostgresServer, postgres_template: str) -> Iterator[str]:
    """A migrated database of the test's own."""
    with postgres.database(postgres_template) as name:
        yield postgres.url(name)


@pytest.fixture
def empty_postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """A database without a table."""
    with postgres.database() as name:
        yield postgres.url(name)


@pytest.fixture
def dialect_name(request: pytest.FixtureRequest) -> str:
    """Which database the test runs on; parametrised by whoever wants both."""
    return str(getattr(request, "param", "sqlite"))


@pytest.fixture
def database_url(dialect_name: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """The test's own database: a file, or one on the server."""
    if dialect_name == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    file = tmp_path / "database.sqlite3"
    shutil.copy(request.getfixturevalue("sqlite_template"), file)
    return f"sqlite:///{file}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what asks for a database on both kinds, or on those that its module names in DATABASES."""
    if "dialect_name" in metafunc.fixturenames:
        chosen = getattr(metafunc.module, "DATABASES", DIALECTS)
        metafunc.parametrize("dialect_name", chosen, indirect=True)

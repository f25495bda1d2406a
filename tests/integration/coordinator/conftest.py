"""A whole coordinator in this process: a real database, real files, the real HTTP application.

Every test that starts one runs on SQLite and on PostgreSQL, unless its module names others in DATABASES.
"""

from __future__ import annotations

import shutil
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from nx_dte.coordinator.api.application import build_api
from nx_dte.coordinator.app import running
from nx_dte.settings import CoordinatorSettings
from tests.integration.coordinator.driver import READ_ONLY, READ_WRITE, Driver

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from nx_dte.coordinator.api.services import ApiServices


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A running coordinator and a way to speak to it."""

    services: ApiServices
    http: httpx2.AsyncClient
    data_dir: Path

    @property
    def driver(self) -> Driver:
        """A client with the read-write token."""
        return Driver(http=self.http)

    @property
    def read_only(self) -> Driver:
        """A client with the read-only token."""
        return Driver(http=self.http, token=READ_ONLY)


@pytest.fixture
def database_url(dialect_name: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """The coordinator's own default, or a database on the server."""
    if dialect_name == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    file = tmp_path / "data" / "coordinator.sqlite3"
    file.parent.mkdir(mode=0o700)
    shutil.copy(request.getfixturevalue("sqlite_template"), file)
    return f"sqlite:///{file}"


@pytest.fixture
def start(tmp_path: Path, database_url: str) -> Callable[..., AbstractAsyncContextManager[Running]]:
    """Start a coordinator on the test's own data folder; a second start is a restart."""

    @asynccontextmanager
    async def begin(**settings: Any) -> AsyncIterator[Running]:
        defaults = {
            "data_dir": tmp_path / "data",
            "database_url": database_url,
            "read_write_token": READ_WRITE,
            "read_only_token": READ_ONLY,
            "reap_interval_s": 0.05,
        }
        chosen = CoordinatorSettings.load(**{**defaults, **settings})
        async with running(chosen) as services:
            transport = httpx2.ASGITransport(build_api(services), raise_app_exceptions=False)
            async with httpx2.AsyncClient(transport=transport, base_url="http://coordinator.test") as http:
                yield Running(services=services, http=http, data_dir=chosen.data_dir)

    return begin


@pytest.fixture
async def coordinator(start: Callable[..., AbstractAsyncContextManager[Running]]) -> AsyncIterator[Running]:
    """A coordinator with usual settings."""
    async with start() as running_one:
        yield running_one


@pytest.fixture
def driver(coordinator: Running) -> Driver:
    """A client of it."""
    return coordinator.driver

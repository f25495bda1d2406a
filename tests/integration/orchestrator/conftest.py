"""A checkout with recording tools, and the two kinds of servers; the agent's tests use them, too."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.orchestrator.fake_nx import Checkout, make_checkout, make_repository
from tests.integration.orchestrator.servers import Ours, nx_cloud

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_httpserver import HTTPServer


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What every checkout is a copy of."""
    root = tmp_path_factory.mktemp("repository") / "root"
    make_repository(root)
    return root


@pytest.fixture
def checkout(tmp_path: Path, repository: Path) -> Iterator[Checkout]:
    """A checkout without any server."""
    made = make_checkout(tmp_path, repository)
    yield made
    made.close()


@pytest.fixture
def ours(checkout: Checkout, httpserver: HTTPServer) -> Ours:
    """A coordinator of ours that the checkout's jobs know; its CI run is there once `start-ci-run` was."""
    checkout.on("nx-cloud-start-ci-run", "touch $FAKE/open")
    made = Ours(server=httpserver, is_open=(checkout.fake / "open").exists)
    checkout.variables |= made.variables
    return made


@pytest.fixture
def foreign(checkout: Checkout, httpserver: HTTPServer) -> str:
    """A server that is not ours; the checkout's jobs know it. Its address."""
    checkout.variables |= nx_cloud(httpserver)
    return checkout.variables["NX_CLOUD_API"]

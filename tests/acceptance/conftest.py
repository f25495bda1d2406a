"""Fixtures of the acceptance tests; on a failure the logs of every job and coordinator are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nx_dte.demo.layout import Layout, find_layout
from nx_dte.demo.workspace import install_dependencies
from tests.support.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from pathlib import Path

_STAGES = pytest.StashKey[list[Stage]]()


@pytest.fixture(scope="session")
def layout(repository_root: Path) -> Layout:
    return find_layout(repository_root)


@pytest.fixture(scope="session")
def node_modules(layout: Layout) -> Path:
    return install_dependencies(layout)


def _stage(config: pytest.Config, layout: Layout, node_modules: Path) -> Iterator[Stage]:
    stage = Stage(layout=layout, node_modules=node_modules)
    stages = config.stash.setdefault(_STAGES, [])
    stages.append(stage)
    yield stage
    stages.remove(stage)
    stage.clear()


@pytest.fixture
def stage(pytestconfig: pytest.Config, layout: Layout, node_modules: Path) -> Iterator[Stage]:
    yield from _stage(pytestconfig, layout, node_modules)


@pytest.fixture(scope="module")
def shared_stage(pytestconfig: pytest.Config, layout: Layout, node_modules: Path) -> Iterator[Stage]:
    """One stage for a module whose tests look at the same runs."""
    yield from _stage(pytestconfig, layout, node_modules)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        for stage in item.config.stash.get(_STAGES, []):
            report.sections.extend(stage.unseen_logs())
    return report

"""A stand-in GitLab with one project, and runners for it."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from tests.support.gitlab.server import StandIn
from tests.support.gitlab.work_tree import WorkTree
from tests.support.runner.build import Timing
from tests.support.runner.config import Entry, RunnerConfig
from tests.support.runner.runner import ProtocolRunner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PROJECT = "acme/shop"


@pytest.fixture
def gitlab(tmp_path: Path) -> Iterator[StandIn]:
    with StandIn(tmp_path / "repositories") as stand_in:
        stand_in.call("POST", "/projects", path=PROJECT)
        yield stand_in


@pytest.fixture
def tree(gitlab: StandIn, tmp_path: Path) -> WorkTree:
    """A clone with one pushed commit on main."""
    tree = WorkTree.clone(gitlab, PROJECT, tmp_path / "tree")
    tree.commit({"README": "hello\n"})
    return tree


@pytest.fixture
def start_runner(gitlab: StandIn, tmp_path: Path) -> Iterator[Callable[..., ProtocolRunner]]:
    """Starts a quick runner for a token; all are stopped at the end."""
    with ExitStack() as stack:

        def start(
            *tokens: str, concurrent: int = 4, limit: int = 0, kill_after_s: float = 2.0
        ) -> ProtocolRunner:
            folder = tmp_path / f"runner-{tokens[0][5:14]}"
            config = RunnerConfig(
                concurrent=concurrent,
                check_interval_s=0.1,
                system_id=f"s_{tokens[0][5:14]}",
                entries=tuple(
                    Entry(
                        name="quick",
                        url=gitlab.url,
                        token=token,
                        limit=limit,
                        environment=(f"HOME={tmp_path}",),
                        builds_dir=folder / "builds",
                        cache_dir=folder / "cache",
                    )
                    for token in tokens
                ),
            )
            timing = Timing(
                trace_interval_s=0.1, kill_after_s=kill_after_s, kill_after_canceling_s=kill_after_s
            )
            return stack.enter_context(ProtocolRunner(config, timing=timing))

        yield start

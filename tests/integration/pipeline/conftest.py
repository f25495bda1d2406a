"""A stand-in GitLab with one project, and runners whose nx-dte and yarn are small scripts that do as they are told."""

from __future__ import annotations

import os
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

YARN = """\
#!/bin/sh
mkdir -p .yarn-cache && echo "$CI_JOB_NAME" > .yarn-cache/from
"""
# `orders` holds a file for each kind of job, with the exit code it is to end with.
NX_DTE = """\
#!/bin/sh
echo "called: nx-dte $*"
case "$1" in
  guard)
    mkdir -p .nx-dte
    echo "{\\"pipeline_id\\": \\"$CI_PIPELINE_ID\\"}" > .nx-dte/guard.json
    echo '*' > .nx-dte/.gitignore
    echo "NX_DTE_GUARD_PIPELINE_ID=$CI_PIPELINE_ID" > .nx-dte/guard.env
    ;;
  *)
    echo "record: $(cat .nx-dte/guard.json) $NX_DTE_GUARD_PIPELINE_ID"
    mkdir -p dist .nx-dte && echo made > dist/file && echo '<testsuites/>' > .nx-dte/junit.xml
    ;;
esac
exit "$(cat "{orders}/$1")"
"""


@pytest.fixture
def gitlab(tmp_path: Path) -> Iterator[StandIn]:
    with StandIn(tmp_path / "repositories") as stand_in:
        stand_in.call("POST", "/projects", path=PROJECT)
        yield stand_in


@pytest.fixture
def tree(gitlab: StandIn, tmp_path: Path) -> WorkTree:
    """A clone with one pushed commit on main."""
    tree = WorkTree.clone(gitlab, PROJECT, tmp_path / "tree")
    tree.commit({"nx.json": "{}", "yarn.lock": "# 1\n"})
    return tree


@pytest.fixture
def orders(tmp_path: Path) -> Callable[..., None]:
    """Says how each of guard, orchestrate and agent is to end from now on."""
    folder = tmp_path / "orders"
    folder.mkdir()

    def order(*, guard: int = 0, orchestrate: int = 0, agent: int = 0) -> None:
        for name, code in {"guard": guard, "orchestrate": orchestrate, "agent": agent}.items():
            (folder / name).write_text(f"{code}\n", encoding="utf-8")

    return order


@pytest.fixture
def runners(gitlab: StandIn, orders: Callable[..., None], tmp_path: Path) -> Iterator[None]:
    """One host with a runner for each of the two tags of a rendered pipeline."""
    orders()
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in {"yarn": YARN, "nx-dte": NX_DTE.replace("{orders}", str(tmp_path / "orders"))}.items():
        (programs / name).write_text(text, encoding="utf-8")
        (programs / name).chmod(0o755)
    entries = tuple(
        Entry(
            name=tag,
            url=gitlab.url,
            token=gitlab.add_runner(tag),
            environment=(f"HOME={tmp_path}", f"PATH={programs}:{os.environ['PATH']}"),
            builds_dir=tmp_path / "builds",
            cache_dir=tmp_path / "cache",
        )
        for tag in ("nx-main", "nx-agent")
    )
    config = RunnerConfig(concurrent=4, check_interval_s=0.1, system_id="s_pipeline", entries=entries)
    with ExitStack() as stack:
        stack.enter_context(ProtocolRunner(config, timing=Timing(trace_interval_s=0.1)))
        yield

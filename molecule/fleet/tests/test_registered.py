"""What GitLab knows of the provisioned hosts."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.gitlab_remote import RemoteGitLab

GITLAB = "http://10.91.2.10"
TAGS = {"main": ["nx-main"], "agent": ["nx-agent"]}
RUNNERS = ("fleet-runner-1", "fleet-runner-2")


@pytest.fixture(scope="module")
def runners() -> dict[str, dict[str, Any]]:
    """Description → what GitLab knows."""
    return {runner["description"]: runner for runner in RemoteGitLab(url=GITLAB).runners()}


def test_every_pool_of_every_host_is_one_runner(runners: dict[str, Any]) -> None:
    assert sorted(runners) == sorted(f"{host} {pool}" for host in RUNNERS for pool in TAGS)


@pytest.mark.parametrize("pool", TAGS)
@pytest.mark.parametrize("name", RUNNERS)
def test_runners_carry_the_right_tags(runners: dict[str, Any], name: str, pool: str) -> None:
    runner = runners[f"{name} {pool}"]
    assert runner["tag_list"] == TAGS[pool]
    assert (runner["run_untagged"], runner["paused"]) == (False, False)
    assert len(RemoteGitLab(url=GITLAB).managers(runner["id"])) == 1

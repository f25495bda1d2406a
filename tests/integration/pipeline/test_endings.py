"""Whole rendered pipelines: how main and agents end is what GitLab acts on."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from nx_dte.pipeline import PipelineOptions, render
from tests.integration.gitlab.driver import jobs_of, states

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.gitlab.server import StandIn
    from tests.support.gitlab.work_tree import WorkTree

    Orders = Callable[..., None]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300), pytest.mark.usefixtures("runners")]
END_S = 120.0
ENDED = {"success", "failed", "canceled", "skipped"}


def start(gitlab: StandIn, tree: WorkTree, **values: Any) -> int:
    options: dict[str, Any] = {"commands": (("nx", "affected", "-t", "build"),), "agents": 2} | values
    tree.commit({".gitlab-ci.yml": render(PipelineOptions(**options))})
    return gitlab.start_pipeline("acme/shop")


def ended(gitlab: StandIn, pipeline_id: int) -> str:
    """The pipeline's state once all of its jobs have ended."""
    deadline = time.monotonic() + END_S
    while not set(states(gitlab, pipeline_id).values()) <= ENDED:
        assert time.monotonic() < deadline, states(gitlab, pipeline_id)
        time.sleep(0.05)
    status: str = gitlab.call("GET", f"/projects/acme%2Fshop/pipelines/{pipeline_id}")["status"]
    return status


def trace(gitlab: StandIn, pipeline_id: int, name: str) -> str:
    job_id = next(job["id"] for job in jobs_of(gitlab, pipeline_id) if job["name"] == name)
    return gitlab.api.get(f"/projects/acme%2Fshop/jobs/{job_id}/trace").text


def rows(gitlab: StandIn, pipeline_id: int) -> list[tuple[str, str]]:
    found = jobs_of(gitlab, pipeline_id, with_retried=True)
    return sorted((job["name"], job["status"]) for job in found)


def test_a_green_pipeline_hands_on_record_cache_and_results(gitlab: StandIn, tree: WorkTree) -> None:
    pipeline_id = start(gitlab, tree)
    status = ended(gitlab, pipeline_id)
    main = trace(gitlab, pipeline_id, "nx-dte")
    agent = trace(gitlab, pipeline_id, "nx-dte-agent 1/2")
    assert status == "success", [*rows(gitlab, pipeline_id), trace(gitlab, pipeline_id, "nx-rerun-guard")]
    for text in (main, agent):
        assert f'record: {{"pipeline_id": "{pipeline_id}"}} {pipeline_id}' in text
    assert "called: nx-dte orchestrate --junit .nx-dte/junit.xml -- nx affected -t build" in main
    assert "called: nx-dte agent --lifetime 3000" in agent
    job_id = next(job["id"] for job in jobs_of(gitlab, pipeline_id) if job["name"] == "nx-dte")
    assert set(gitlab.instance.jobs[job_id].artifacts) >= {"archive", "junit"}


def test_agents_that_mirror_a_failed_main_come_back_with_it(
    gitlab: StandIn, tree: WorkTree, orders: Orders
) -> None:
    orders(orchestrate=1, agent=77)
    pipeline_id = start(gitlab, tree)
    assert ended(gitlab, pipeline_id) == "failed"
    assert len(rows(gitlab, pipeline_id)) == 4, "nothing is started again by itself"
    orders()
    gitlab.call("POST", f"/projects/acme%2Fshop/pipelines/{pipeline_id}/retry")
    assert ended(gitlab, pipeline_id) == "success"
    assert rows(gitlab, pipeline_id) == [
        ("nx-dte", "failed"),
        ("nx-dte", "success"),
        ("nx-dte-agent 1/2", "failed"),
        ("nx-dte-agent 1/2", "success"),
        ("nx-dte-agent 2/2", "failed"),
        ("nx-dte-agent 2/2", "success"),
        ("nx-rerun-guard", "success"),
    ]


@pytest.mark.parametrize(
    ("code", "status", "tries"),
    [(75, "success", 1), (76, "success", 3), (77, "success", 1), (78, "failed", 1), (70, "failed", 1)],
)
def test_each_exit_code_of_an_agent_has_its_own_consequence(
    gitlab: StandIn, tree: WorkTree, orders: Orders, code: int, status: str, tries: int
) -> None:
    orders(agent=code)
    pipeline_id = start(gitlab, tree, agents=1)
    assert ended(gitlab, pipeline_id) == status
    agents = [name for name, _ in rows(gitlab, pipeline_id) if name == "nx-dte-agent"]
    assert len(agents) == tries


def test_a_refused_main_is_red_and_is_not_started_again(
    gitlab: StandIn, tree: WorkTree, orders: Orders
) -> None:
    orders(orchestrate=78)
    pipeline_id = start(gitlab, tree)
    assert ended(gitlab, pipeline_id) == "failed"
    found = [job for job in jobs_of(gitlab, pipeline_id, with_retried=True) if job["name"] == "nx-dte"]
    assert [job["failure_reason"] for job in found] == ["script_failure"]

"""A stand-in GitLab makes of a rendered file the pipelines that its rules promise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nx_dte.pipeline import GuardJob, PipelineKind, PipelineOptions, render
from tests.integration.gitlab.driver import jobs_of, states

if TYPE_CHECKING:
    from tests.support.gitlab.server import StandIn
    from tests.support.gitlab.work_tree import WorkTree

ALL = {"nx-rerun-guard", "nx-dte", "nx-dte-agent 1/3", "nx-dte-agent 2/3", "nx-dte-agent 3/3"}
EVENTS = (
    "branch",
    "new_branch",
    "requested_branch",
    "merge_request",
    "tag",
    "schedule",
    "web",
    "web_requested",
    "api",
)


def file(**values: Any) -> str:
    return render(PipelineOptions(**{"commands": (("nx", "affected", "-t", "build"),)} | values))


def pipelines(gitlab: StandIn, tree: WorkTree, text: str) -> dict[str, set[str]]:
    """The jobs there are for everything that can happen; empty: no pipeline."""
    tree.commit({".gitlab-ci.yml": text})
    tree.git("tag", "v1")
    tree.git("push", "--quiet", "origin", "v1")
    tree.branch("plain")
    tree.commit({"y": "1"})
    tree.branch("feature")
    tree.commit({"x": "1"})
    values = {"source_branch": "feature", "target_branch": "main", "title": "Add x"}
    iid = gitlab.call("POST", "/projects/acme%2Fshop/merge_requests", **values)["iid"]
    before = tree.git("rev-parse", "HEAD~1")
    wanted: dict[str, dict[str, Any]] = {
        "branch": {"ref": "main", "before_sha": before},
        "new_branch": {"ref": "plain"},
        "requested_branch": {"ref": "feature", "before_sha": before},
        "merge_request": {"source": "merge_request_event", "merge_request": iid},
        "tag": {"ref": "v1"},
        "schedule": {"source": "schedule", "ref": "main"},
        "web": {"source": "web", "ref": "plain"},
        "web_requested": {"source": "web", "ref": "feature"},
        "api": {"source": "api", "ref": "feature"},
    }
    found = {}
    for name, body in wanted.items():
        response = gitlab.api.post(f"{gitlab.url}/-/stand-in/projects/acme/shop/pipelines", json=body)
        assert response.status_code in {201, 400}, response.text
        if response.status_code == 400:
            assert "Pipeline will not run" in response.text or "workflow" in response.text.lower(), (
                response.text
            )
        found[name] = set(states(gitlab, response.json()["id"])) if response.status_code == 201 else set()
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("values", "without"),
    [
        ({}, {"requested_branch"}),
        ({"is_default_branch_only": True}, {"new_branch", "requested_branch", "api"}),
        ({"kinds": frozenset(PipelineKind) - {PipelineKind.MERGE_REQUESTS}}, {"merge_request"}),
        ({"kinds": frozenset(PipelineKind) - {PipelineKind.SCHEDULES, PipelineKind.TAGS}}, {"requested_branch", "schedule", "tag"}),
        ({"kinds": frozenset(PipelineKind) - {PipelineKind.WEB}}, {"requested_branch", "web", "web_requested"}),
        ({"kinds": frozenset({PipelineKind.MERGE_REQUESTS})}, set(EVENTS) - {"merge_request"}),
        ({"kinds": frozenset({PipelineKind.SCHEDULES, PipelineKind.WEB})}, set(EVENTS) - {"schedule", "web", "web_requested"}),
    ],
)  # fmt: skip
def test_guard_main_and_agents_come_together_or_not_at_all(
    gitlab: StandIn, tree: WorkTree, values: dict[str, Any], without: set[str]
) -> None:
    found = pipelines(gitlab, tree, file(**values))
    assert set(found) == set(EVENTS)
    assert {name: jobs for name, jobs in found.items() if jobs not in (set(), ALL)} == {}
    assert {name for name, jobs in found.items() if not jobs} == without


def test_without_a_guard_job_main_and_agents_start_at_once(gitlab: StandIn, tree: WorkTree) -> None:
    tree.commit({".gitlab-ci.yml": file(guard=GuardJob.OFF, agents=2)})
    pipeline_id = gitlab.start_pipeline("acme/shop")
    assert states(gitlab, pipeline_id) == {
        "nx-dte": "pending",
        "nx-dte-agent 1/2": "pending",
        "nx-dte-agent 2/2": "pending",
    }


def test_main_is_made_before_its_agents_so_that_it_starts_first(gitlab: StandIn, tree: WorkTree) -> None:
    tree.commit({".gitlab-ci.yml": file()})
    names = [job["name"] for job in jobs_of(gitlab, gitlab.start_pipeline("acme/shop"))]
    assert names[:2] == ["nx-rerun-guard", "nx-dte"]
    assert set(names) == ALL


def test_a_newer_push_cancels_the_pipeline_of_a_branch_and_not_of_the_default_one(
    gitlab: StandIn, tree: WorkTree
) -> None:
    tree.commit({".gitlab-ci.yml": file()})
    tree.branch("feature")
    tree.push()
    for branch, is_cancelled in (("main", False), ("feature", True)):
        tree.git("switch", "--quiet", branch)
        first = gitlab.start_pipeline("acme/shop", ref=branch)
        tree.commit({branch: "1"})
        gitlab.start_pipeline("acme/shop", ref=branch)
        assert (set(states(gitlab, first).values()) == {"canceled"}) is is_cancelled, branch

"""What happens to pipelines on GitLab beside retries: lost hosts, cancels, too few slots, a guard's record from elsewhere.

Rendered pipelines through the stand-in, with real Nx. Nothing here may wait without an end.
"""

from __future__ import annotations

import json
import re
import time
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from nx_dte.demo.coordinator import free_port
from tests.support.gitlab_stage import AGENTS, END_S, GUARD, MAIN, GitLabStage, StandInPipeline
from tests.support.processes import wait_until
from tests.support.started import SHORT

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_httpserver import HTTPServer

    from tests.support.stage import Stage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

GREEN = {MAIN: 0, **dict.fromkeys(AGENTS, 0)}
# `muster:test` ends only once so many agents have joined: no run is over before the one that comes late.
MUSTERS_TWO, MUSTERS_THREE = ({"NX_DTE_EXAMPLE_AGENTS": count} for count in "23")
NOTICED_WITHIN_S = 60.0
GONE_WITHIN_S = 30.0


@pytest.fixture(scope="module")
def gitlab(shared_stage: Stage) -> GitLabStage:
    gitlab = shared_stage.gitlab(shared_stage.origin())
    variables = {"NX_DTE_EXAMPLE_PACE": "0", **MUSTERS_TWO}
    settings = {**SHORT, "NX_DTE_MAIN_SILENCE_S": "15"}
    gitlab.set_variables({**shared_stage.coordinator(settings).variables(), **variables})
    gitlab.host("nx-main")
    gitlab.host("nx-agent", slots=2)
    return gitlab


@pytest.fixture(autouse=True)
def _every_host_takes_jobs(gitlab: GitLabStage) -> None:
    gitlab.pause()


def dawdling(*projects: str, seconds: float) -> dict[str, str]:
    """Files that make the lint tasks of these projects take so long."""
    fault = json.dumps({"lint": {"seconds": seconds}})
    return {f"libs/{project}/faults.json": f"{fault}\n" for project in projects}


def who_musters(pipeline: StandInPipeline) -> str:
    """The agent that waits in `muster:test` for the others, and so holds a task for sure."""
    found: list[str] = []

    def is_there() -> bool:
        found.extend(agent for agent in AGENTS if "start: muster:test" in pipeline.log(agent))
        return bool(found)

    wait_until(is_there, END_S, "an agent waits for the others")
    return found[0]


# ----------------------------------------------------------------------------------------- lost hosts
def test_a_lost_host_costs_its_lease_and_gitlabs_retry_brings_a_new_agent(gitlab: GitLabStage) -> None:
    """In a merge request's pipeline, whose base is the branch's own beginning."""
    head = gitlab.push({"libs/ui/note": "touched\n", "muster/note": "touched\n"}, branch="lost-host")
    iid = gitlab.merge_request("lost-host")
    text = gitlab.render("nx affected -t lint,test --parallel=1", "--agent-tag", "nx-cheap")
    pipeline = gitlab.start(
        text, source="merge_request_event", merge_request=iid, sha=head, variables=MUSTERS_THREE
    )
    hosts = [gitlab.host("nx-cheap") for _ in AGENTS]
    agent = who_musters(pipeline)
    doomed = next(host for host in hosts if [build.job.name for build in host.runner.builds] == [agent])
    assert doomed.processes
    doomed.runner.lose_host()
    wait_until(lambda: not doomed.processes, 30, "everything on the host is gone")
    assert pipeline.states()[agent] == "running", "GitLab cannot know yet"
    gitlab.host("nx-cheap")
    pipeline.give_up(agent)
    pipeline.wait()
    main_log = pipeline.log(MAIN)
    assert pipeline.exit_codes() == GREEN
    lost, again = pipeline.rows(agent)
    assert (lost["status"], lost["failure_reason"]) == ("failed", "stuck_or_timeout_failure")
    assert "joined CI run" in pipeline.log(again)
    assert f"base {gitlab.origin.head}: " in main_log
    assert "[merge_request]" in main_log
    assert "ui:lint" in main_log
    assert "docs:lint" not in main_log, "what the merge request does not touch was run"
    assert "goes back to the queue" in main_log
    assert pipeline.status == "success"


def test_a_lost_main_lets_its_agents_go_and_comes_back_with_them(gitlab: GitLabStage) -> None:
    gitlab.push({"muster/note": "alone\n"}, branch="lost-main")
    gitlab.set_variables(MUSTERS_THREE)
    doomed = gitlab.host("doomed")
    text = gitlab.render("nx run-many -t test -p muster", "--main-tag", "doomed")
    pipeline = gitlab.start(text, ref="lost-main")
    wait_until(
        lambda: any("start: muster:test" in pipeline.log(agent) for agent in AGENTS), 90, "a task runs"
    )
    doomed.runner.lose_host()
    pipeline.wait(*AGENTS, timeout_s=NOTICED_WITHIN_S)
    assert pipeline.exit_codes() == {MAIN: None, **dict.fromkeys(AGENTS, 77)}
    assert pipeline.states()[MAIN] == "running", "GitLab cannot know yet"
    pipeline.give_up(MAIN)
    assert pipeline.states()[MAIN] == "failed"
    assert len(pipeline.rows(MAIN)) == 1
    gitlab.set_variables(MUSTERS_TWO)
    gitlab.host("doomed")
    pipeline.retry()
    pipeline.wait()
    assert pipeline.exit_codes() == GREEN
    assert "attempt 2) is open" in pipeline.log(MAIN)
    assert pipeline.status == "success"


def test_an_agent_retried_while_main_runs_joins_it(gitlab: GitLabStage) -> None:
    gitlab.push({"muster/note": "seen\n"}, branch="agent-again")
    text = gitlab.render("nx run-many -t test -p muster")
    pipeline = gitlab.start(text, ref="agent-again", variables=MUSTERS_THREE)
    agent = who_musters(pipeline)
    pipeline.cancel_job(agent)
    pipeline.wait_for_status(agent, "canceled")
    pipeline.retry_job(agent)
    pipeline.wait()
    assert pipeline.exit_codes() == GREEN
    first, again = pipeline.rows(agent)
    assert "goes back to the queue" in pipeline.log(first)
    assert "joined CI run" in pipeline.log(again)
    assert len(pipeline.rows(MAIN)) == 1
    assert pipeline.status == "success"


# -------------------------------------------------------------------------------------------- cancels
@pytest.fixture
def busy(gitlab: GitLabStage) -> StandInPipeline:
    """Both agents in the middle of a task that would take minutes."""
    gitlab.push(dawdling("ui", "util", seconds=240), branch="busy")
    text = gitlab.render("nx run-many -t lint -p ui,util --parallel=1")
    pipeline = gitlab.start(text, source="web", ref="busy")
    for agent in AGENTS:
        pipeline.wait_for_text(agent, "[nx-dte] start: ")
    assert sum(bool(host.processes) for host in gitlab.hosts) >= 2
    return pipeline


def test_a_cancelled_main_lets_its_agents_go(gitlab: GitLabStage, busy: StandInPipeline) -> None:
    began_at = time.monotonic()
    busy.cancel_job(MAIN)
    busy.wait(timeout_s=GONE_WITHIN_S)
    gitlab.wait_until_hosts_are_idle(max(1.0, GONE_WITHIN_S - (time.monotonic() - began_at)))
    assert busy.states() == {GUARD: "success", MAIN: "canceled", **dict.fromkeys(AGENTS, "failed")}
    assert busy.exit_codes() == {MAIN: None, **dict.fromkeys(AGENTS, 77)}
    assert "the coordinator knows" in busy.log(MAIN)


def test_a_cancelled_pipeline_leaves_no_process(gitlab: GitLabStage, busy: StandInPipeline) -> None:
    began_at = time.monotonic()
    busy.cancel()
    busy.wait(timeout_s=GONE_WITHIN_S)
    gitlab.wait_until_hosts_are_idle(max(1.0, GONE_WITHIN_S - (time.monotonic() - began_at)))
    assert busy.states() == {GUARD: "success", **dict.fromkeys((MAIN, *AGENTS), "canceled")}
    assert busy.status == "canceled"


# ------------------------------------------------------------------------------------------ few slots
def test_more_pipelines_than_slots_all_end(gitlab: GitLabStage) -> None:
    """Instance runners are fair to projects, so the mains of two take both slots before any agent gets one."""
    projects = [f"shop/{name}" for name in ("one", "two", "three")]
    for project in projects:
        gitlab.add_project(project)
    text = gitlab.render(
        "nx run-many -t lint,build -p docs,util", "--main-tag", "small", "--agent-tag", "small"
    )
    few = {"NX_DTE_JOIN_TIMEOUT": "4"}
    pipelines = [gitlab.start(text, project=project, variables=few) for project in projects]
    gitlab.host("small", slots=2, projects=projects)
    for pipeline in pipelines:
        pipeline.wait(timeout_s=240)
    assert [pipeline.exit_codes() for pipeline in pipelines] == [GREEN] * 3
    assert [pipeline.status for pipeline in pipelines] == ["success"] * 3
    alone = [pipeline for pipeline in pipelines if "this job runs them itself" in pipeline.log(MAIN)]
    assert alone, "no two main jobs met in the two slots: this has shown nothing"


def test_agents_without_a_main_give_up_and_main_then_runs_alone(gitlab: GitLabStage) -> None:
    """Nobody holds a slot for a main job that finds none; that GitLab starts them again has an end, too."""
    gitlab.push(dawdling("util", seconds=0), branch="no-main")
    text = gitlab.render("nx run-many -t lint -p util", "--main-tag", "late")
    assert text.count("[late]") == 2
    pipeline = gitlab.start(
        text.replace("[late]", "[nx-main]", 1), source="schedule", ref="no-main",
        variables={"NX_DTE_MAIN_TIMEOUT": "2"},
    )  # fmt: skip
    pipeline.wait(*AGENTS)
    assert pipeline.exit_codes() == {MAIN: None, **dict.fromkeys(AGENTS, 76)}
    assert [len(pipeline.rows(agent)) for agent in AGENTS] == [3, 3]
    gitlab.host("late")
    pipeline.wait()
    assert pipeline.exit_codes() == {MAIN: 0, **dict.fromkeys(AGENTS, 76)}
    assert "No agent of this pipeline is still to come" in pipeline.log(MAIN)
    assert pipeline.status == "success"


def test_without_a_coordinator_the_pipeline_is_green(gitlab: GitLabStage) -> None:
    """A tag's pipeline, this one."""
    gitlab.tag("v1.5.0")
    away = {"NX_CLOUD_API": f"http://127.0.0.1:{free_port()}"}
    text = gitlab.render("nx run-many -t lint,build -p util")
    pipeline = gitlab.start(text, ref="v1.5.0", before_sha=None, variables=away)
    pipeline.wait()
    assert pipeline.exit_codes() == {MAIN: 0, **dict.fromkeys(AGENTS, 75)}
    assert "NOTHING IS DISTRIBUTED" in pipeline.log(MAIN)
    assert "Successfully ran targets lint, build for project util" in pipeline.log(MAIN)
    assert pipeline.status == "success"


# -------------------------------------------------------------------------------- the guard's record
def with_guard(text: str, change: Callable[[dict[str, Any]], None]) -> str:
    """The pipeline with another guard job."""
    jobs = yaml.safe_load(text)
    change(jobs[GUARD])
    return yaml.safe_dump(jobs, sort_keys=False)


def test_a_record_of_another_pipeline_or_commit_is_refused_and_none_is_needed(gitlab: GitLabStage) -> None:
    """The coordinator knows better than any record; but one from elsewhere shows that something is wrong."""
    text = gitlab.render("nx run-many -t lint -p util")
    swap = "sed -i s/{}/{}/ .nx-dte/guard.json"
    started = {
        "pipeline": with_guard(text, lambda job: job["script"].append(swap.format('"$CI_PIPELINE_ID"', 1))),
        "commit": with_guard(
            text, lambda job: job["script"].append(swap.format('"$CI_COMMIT_SHA"', "a" * 40))
        ),
        "nothing": with_guard(text, lambda job: job.pop("artifacts")),
    }
    pipelines = {what: gitlab.start(changed) for what, changed in started.items()}
    for pipeline in pipelines.values():
        pipeline.wait()
    for what in ("pipeline", "commit"):
        pipeline = pipelines[what]
        assert pipeline.exit_codes() == dict.fromkeys((MAIN, *AGENTS), 78)
        assert pipeline.status == "failed"
        assert f"The guard's record (.nx-dte/guard.json) is of {what}" in pipeline.log(MAIN)
        assert [len(pipeline.rows(name)) for name in (MAIN, *AGENTS)] == [1, 1, 1]
    assert pipelines["nothing"].exit_codes() == GREEN


def test_nothing_to_go_by_is_refused(gitlab: GitLabStage, httpserver: HTTPServer) -> None:
    """No record, no list of jobs, and at NX_CLOUD_API somebody who serves Nx and is none of ours."""
    httpserver.expect_request("/nx-cloud/client/verify").respond_with_json({"valid": True})
    httpserver.expect_request(re.compile(".*")).respond_with_data("Not Found", status=404)
    text = with_guard(gitlab.render("nx run-many -t lint -p util"), lambda job: job.pop("artifacts"))
    gitlab.gitlab.call("PUT", "/-/stand-in/settings", job_token_lists_jobs=False)
    try:
        pipeline = gitlab.start(text, variables={"NX_CLOUD_API": httpserver.url_for("").rstrip("/")})
        pipeline.wait()
    finally:
        gitlab.gitlab.call("PUT", "/-/stand-in/settings", job_token_lists_jobs=True)
    assert pipeline.exit_codes() == dict.fromkeys((MAIN, *AGENTS), 78)
    assert "The rerun guard has nothing to go by" in pipeline.log(MAIN)

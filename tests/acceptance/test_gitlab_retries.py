"""What people press on GitLab, and what comes of it: rendered pipelines through the stand-in, with real Nx.

One pipeline goes through its whole life here: each fixture does to it what its name says, upon what the one before left.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.gitlab_stage import AGENTS, GUARD, MAIN, GitLabStage, StandInPipeline
from tests.support.started import SHORT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.stage import Stage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

COMMAND = "nx run-many -t test -p util,muster"
MIRRORED = {MAIN: 1, **dict.fromkeys(AGENTS, 77)}
GREEN = {MAIN: 0, **dict.fromkeys(AGENTS, 0)}
REFUSED_WITHIN_S = 30.0


@pytest.fixture(scope="module")
def spent(shared_stage: Stage) -> Path:
    """`util:test` fails while this file is not there, and makes it."""
    return shared_stage.folder / "spent"


@pytest.fixture(scope="module")
def gitlab(shared_stage: Stage, spent: Path) -> GitLabStage:
    """`muster:test` is never taken from a cache, so no run is over before both agents are in it."""
    origin = shared_stage.origin()
    muster = json.loads((origin.path / "muster/project.json").read_text(encoding="utf-8"))
    muster["targets"]["test"]["cache"] = False
    fault = {"test": {"failOnce": str(spent), "message": "told to fail"}}
    files = {"muster/project.json": muster, "libs/util/faults.json": fault}
    gitlab = shared_stage.gitlab(origin.commit({name: json.dumps(value) for name, value in files.items()}))
    quick = {"NX_DTE_EXAMPLE_PACE": "0", "NX_DTE_EXAMPLE_AGENTS": "2"}
    gitlab.set_variables({**shared_stage.coordinator(SHORT).variables(), **quick})
    gitlab.host("nx-main")
    gitlab.host("nx-agent", slots=2)
    return gitlab


@pytest.fixture(scope="module")
def failed(gitlab: GitLabStage) -> StandInPipeline:
    pipeline = gitlab.start(gitlab.render(COMMAND))
    pipeline.wait()
    return pipeline


def test_agents_mirror_a_failed_main(failed: StandInPipeline) -> None:
    assert failed.exit_codes() == MIRRORED
    assert failed.status == "failed"
    assert "told to fail" in failed.log(MAIN)


@pytest.fixture(scope="module")
def agent_after_failure(failed: StandInPipeline) -> StandInPipeline:
    failed.retry_job(AGENTS[0])
    failed.wait()
    return failed


def test_an_agent_retried_after_a_failure_does_as_main_did(agent_after_failure: StandInPipeline) -> None:
    pipeline = agent_after_failure
    assert pipeline.exit_codes() == MIRRORED
    assert "this agent ends as main did" in pipeline.log(AGENTS[0])
    assert len(pipeline.rows(AGENTS[0])) == 2


def _retried_with_agents_first(
    gitlab: GitLabStage, pipeline: StandInPipeline, spent: Path, until: str
) -> StandInPipeline:
    """Press Retry while no runner for main is free; main starts once every agent has said that it waits."""
    spent.unlink()
    gitlab.pause("nx-main")
    pipeline.retry()
    for agent in AGENTS:
        pipeline.wait_for_text(agent, until)
    gitlab.pause()
    pipeline.wait()
    return pipeline


@pytest.fixture(scope="module")
def agents_first(gitlab: GitLabStage, agent_after_failure: StandInPipeline, spent: Path) -> StandInPipeline:
    return _retried_with_agents_first(gitlab, agent_after_failure, spent, f"{MAIN} is pending")


def test_retry_brings_back_main_and_agents_that_were_there_first(agents_first: StandInPipeline) -> None:
    """It fails again: that is what makes the next Retry."""
    assert agents_first.exit_codes() == MIRRORED
    assert "attempt 2) is open" in agents_first.log(MAIN)
    assert all("joined CI run" in agents_first.log(agent) for agent in AGENTS)
    assert {name: len(agents_first.rows(name)) for name in (GUARD, MAIN, AGENTS[1])} == {
        GUARD: 1, MAIN: 2, AGENTS[1]: 2,
    }  # fmt: skip


@pytest.fixture(scope="module")
def agents_first_on_an_old_gitlab(
    gitlab: GitLabStage, agents_first: StandInPipeline, spent: Path
) -> StandInPipeline:
    """Without the list of jobs an agent cannot know that a main job is on its way."""
    gitlab.gitlab.call("PUT", "/-/stand-in/settings", job_token_lists_jobs=False)
    try:
        return _retried_with_agents_first(gitlab, agents_first, spent, "waiting up to 120 s for a main job")
    finally:
        gitlab.gitlab.call("PUT", "/-/stand-in/settings", job_token_lists_jobs=True)


def test_an_old_gitlabs_retry_does_the_same(agents_first_on_an_old_gitlab: StandInPipeline) -> None:
    pipeline = agents_first_on_an_old_gitlab
    assert pipeline.exit_codes() == MIRRORED
    assert "attempt 3) is open" in pipeline.log(MAIN)
    assert all("joined CI run" in pipeline.log(agent) for agent in AGENTS)


@pytest.fixture(scope="module")
def main_first(gitlab: GitLabStage, agents_first_on_an_old_gitlab: StandInPipeline) -> StandInPipeline:
    """The last Retry: nothing fails any more."""
    pipeline = agents_first_on_an_old_gitlab
    gitlab.pause("nx-agent")
    pipeline.retry()
    pipeline.wait_for_text(MAIN, "attempt 4) is open")
    gitlab.pause()
    pipeline.wait()
    return pipeline


def test_retry_brings_back_main_and_agents_that_came_after_it(main_first: StandInPipeline) -> None:
    assert main_first.exit_codes() == GREEN
    assert main_first.status == "success"
    assert all("joined CI run" in main_first.log(agent) for agent in AGENTS)


# ------------------------------------------------------------------------------ Retry of single jobs
@pytest.fixture(scope="module")
def agent_after_success(main_first: StandInPipeline) -> StandInPipeline:
    main_first.retry_job(AGENTS[1])
    main_first.wait()
    return main_first


def test_an_agent_retried_after_success_has_nothing_to_do(agent_after_success: StandInPipeline) -> None:
    assert agent_after_success.exit_codes() == GREEN
    assert "has succeeded: there is nothing to do for an agent" in agent_after_success.log(AGENTS[1])
    assert agent_after_success.status == "success"


@pytest.fixture(scope="module")
def main_alone(gitlab: GitLabStage, agent_after_success: StandInPipeline) -> StandInPipeline:
    """In the mode that is the default with a coordinator of ours."""
    gitlab.set_variables({"NX_DTE_EXAMPLE_AGENTS": "1"})
    agent_after_success.retry_job(MAIN)
    agent_after_success.wait()
    return agent_after_success


def test_main_retried_alone_runs_its_tasks_itself(main_alone: StandInPipeline) -> None:
    log = main_alone.log(MAIN)
    assert main_alone.exit_codes() == GREEN, log
    assert "No agent of this pipeline is still to come" in log
    assert "attempt 5) is open" in log
    assert "[nx-dte] done: muster:test (success)" in log
    assert main_alone.status == "success"


def test_main_retried_alone_is_refused_in_strict_mode(
    gitlab: GitLabStage, main_alone: StandInPipeline
) -> None:
    gitlab.set_variables({"NX_DTE_GUARD_MODE": "strict"})
    began_at = time.monotonic()
    main_alone.retry_job(MAIN)
    try:
        main_alone.wait(MAIN)
    finally:
        gitlab.set_variables({"NX_DTE_GUARD_MODE": None})
    assert time.monotonic() - began_at < REFUSED_WITHIN_S
    assert main_alone.exit_codes()[MAIN] == 78
    log = main_alone.log(MAIN)
    assert "Only a part of this pipeline was retried: job `nx-dte` is attempt 6" in log
    assert "Run pipeline" in log
    assert all(f"#{main_alone.newest(agent)['id']}" in log for agent in AGENTS)
    assert main_alone.status == "failed"


def test_what_the_guard_wrote_has_expired(main_alone: StandInPipeline) -> None:
    """GitLab itself fails such a job, before its script; nothing of ours runs. So the file keeps it for a year."""
    main_alone.erase(GUARD)
    row = main_alone.retry_job(MAIN)
    main_alone.wait(MAIN)
    newest = main_alone.newest(MAIN)
    assert newest["id"] == row["id"]
    assert newest["failure_reason"] == "missing_dependency_failure"
    assert main_alone.log(MAIN) == ""

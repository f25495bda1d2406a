"""Two pipelines of one workspace at once, one trusted and one not: each ends right, and neither sees the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from nx_dte.demo import recipe
from tests.support.nx_results import RUN_FILE, read_results
from tests.support.stage import AGENT_END_S, JOB_END_S, QUICK, START_CI_RUN, affected

if TYPE_CHECKING:
    from nx_dte.demo.coordinator import CoordinatorProcess
    from nx_dte.demo.jobs import Job
    from nx_dte.demo.pipeline import Pipeline
    from nx_dte.demo.workspace import Origin
    from tests.support.stage import Stage

pytestmark = pytest.mark.timeout(300)

SCRIPT = [START_CI_RUN, affected("build", "--parallel=2")]
AGENTS = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A pipeline whose jobs have ended, and the coordinator's view of it."""

    pipeline: Pipeline
    main: Job
    agents: list[Job]
    ci_run: dict[str, Any]
    tasks: list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SideBySide:
    coordinator: CoordinatorProcess
    origin: Origin
    plain: Job
    trusted: Ended
    untrusted: Ended


def start(stage: Stage, origin: Origin, coordinator: CoordinatorProcess, *, read_only: bool) -> Pipeline:
    pipeline = stage.pipeline(origin, {**QUICK, **coordinator.variables(read_only=read_only)})
    prefix = "fork" if read_only else "own"
    specs = [pipeline.prepare(f"{prefix}-agent-{number}", recipe.AGENT_SCRIPT) for number in range(AGENTS)]
    for spec in [pipeline.prepare(f"{prefix}-main", SCRIPT), *specs]:
        pipeline.start(spec)
    return pipeline


def end(stage: Stage, pipeline: Pipeline, coordinator: CoordinatorProcess) -> Ended:
    main, *agents = pipeline.jobs
    main.wait(JOB_END_S)
    for agent in agents:
        agent.wait(AGENT_END_S + 30)
    api = stage.api(coordinator)
    ci_run = api.ci_run(str(pipeline.pipeline_id))
    assert ci_run is not None
    tasks = api.get(f"/api/v1/ci-runs/{ci_run['ci_run_id']}/tasks")["tasks"]
    return Ended(pipeline=pipeline, main=main, agents=agents, ci_run=ci_run, tasks=tasks)


@pytest.fixture(scope="module")
def both(shared_stage: Stage) -> SideBySide:
    origin = shared_stage.origin()
    plain = shared_stage.plain(origin, SCRIPT[1:])
    coordinator = shared_stage.coordinator()
    pipelines = [start(shared_stage, origin, coordinator, read_only=read_only) for read_only in (False, True)]
    trusted, untrusted = [end(shared_stage, pipeline, coordinator) for pipeline in pipelines]
    return SideBySide(
        coordinator=coordinator, origin=origin, plain=plain, trusted=trusted, untrusted=untrusted
    )


def test_both_end_like_plain_nx(both: SideBySide) -> None:
    expected = read_results(both.plain.spec.clone.path / RUN_FILE)
    for ended in (both.trusted, both.untrusted):
        assert ended.main.process.returncode == 0
        assert [agent.process.returncode for agent in ended.agents] == [0] * AGENTS
        results = read_results(ended.main.spec.clone.path / RUN_FILE)
        assert {task_id: (one.hash, one.code) for task_id, one in results.items()} == {
            task_id: (one.hash, one.code) for task_id, one in expected.items()
        }


def test_each_was_worked_off_by_its_own_agents(both: SideBySide) -> None:
    for ended, prefix in ((both.trusted, "own-"), (both.untrusted, "fork-")):
        names = {task["agent_name"] for task in ended.tasks if task["agent_name"]}
        assert names
        assert all(name.startswith(prefix) for name in names)
        assert ended.ci_run["outcome"] == "succeeded"


def test_what_the_untrusted_one_made_is_nobody_elses_hit(shared_stage: Stage, both: SideBySide) -> None:
    """In a workspace state only the untrusted pipeline has built, a trusted one builds everything anew."""
    origin = both.origin.commit({"libs/util/src/fresh.txt": "built by the untrusted pipeline first\n"})
    first = end(
        shared_stage,
        start(shared_stage, origin, both.coordinator, read_only=True),
        both.coordinator,
    )
    second = end(
        shared_stage,
        start(shared_stage, origin, both.coordinator, read_only=False),
        both.coordinator,
    )

    assert (first.main.process.returncode, second.main.process.returncode) == (0, 0)
    built = {task["task_id"] for task in first.tasks if task["outcome"] == "succeeded"}
    assert "util:build" in built
    assert {task["outcome"] for task in second.tasks if task["task_id"] in built} == {"succeeded"}

"""The recipe: one main job and three agents, compared with plain nx."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import pytest

from nx_dte.demo import recipe
from nx_dte.demo.figures import TaskRun, span_s, tasks_per_agent, work_s
from tests.support.compare import differences, snapshot_tree
from tests.support.nx_results import RUN_FILE, read_results, sections, terminal_outputs
from tests.support.processes import is_gone, wait_until

if TYPE_CHECKING:
    from nx_dte.demo.jobs import Job
    from tests.support.stage import Stage

pytestmark = pytest.mark.timeout(300)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    plain: Job
    main: Job
    agents: list[Job]
    runs: list[TaskRun]


@pytest.fixture(scope="module")
def run(shared_stage: Stage) -> Recipe:
    """Nothing is set but NX_CLOUD_API, NX_CLOUD_ACCESS_TOKEN and GitLab's own variables."""
    origin = shared_stage.origin()
    plain = shared_stage.plain(origin, recipe.PLAIN_SCRIPT, {})
    coordinator = shared_stage.coordinator()
    main, agents = shared_stage.distributed(origin, coordinator, recipe.MAIN_SCRIPT, agents=3, variables={})
    api = shared_stage.api(coordinator)
    ci_run = api.ci_run(main.spec.environment["CI_PIPELINE_ID"])
    assert ci_run is not None
    assert ci_run["agents_joined"] == 3
    return Recipe(plain=plain, main=main, agents=agents, runs=api.task_runs(ci_run["ci_run_id"]))


def test_main_is_green_like_plain_nx(run: Recipe) -> None:
    assert run.plain.process.returncode == 0
    assert run.main.process.returncode == 0


def test_agents_end_in_order(run: Recipe) -> None:
    assert [agent.process.returncode for agent in run.agents] == [0, 0, 0]


def test_every_agent_ran_tasks_and_main_ran_none(run: Recipe) -> None:
    counts = tasks_per_agent(run.runs)
    assert len(counts) == 3
    assert "main" not in counts
    assert "muster:test" in {task.task_id for task in run.runs}


def test_hashes_and_statuses_equal_plain_nx(run: Recipe) -> None:
    expected = read_results(run.plain.spec.clone.path / RUN_FILE)
    actual = read_results(run.main.spec.clone.path / RUN_FILE)
    assert len(expected) > 25
    assert actual == expected


def test_each_tasks_terminal_output_equals_plain_nx(run: Recipe) -> None:
    expected = terminal_outputs(sections(run.plain.log, recipe.PLAIN_SCRIPT)[-1])
    actual = terminal_outputs(sections(run.main.log, recipe.MAIN_SCRIPT)[-1])
    assert len(expected) > 25
    assert actual == expected


def test_every_file_equals_plain_nx(run: Recipe) -> None:
    expected = snapshot_tree(run.plain.spec.clone.path)
    assert expected["dist/apps/api/bin/api"].mode == 0o755
    assert expected["dist/libs/util/latest.js"].kind == "link"
    assert differences(expected, snapshot_tree(run.main.spec.clone.path)) == []


def test_the_record_printed_what_the_command_prints(run: Recipe) -> None:
    recorded = sections(run.main.log, recipe.MAIN_SCRIPT)[3]
    assert "format:check" in recorded


def test_nothing_of_a_job_outlives_it(run: Recipe) -> None:
    for job in (run.main, *run.agents):
        wait_until(partial(is_gone, job.spec.clone), 15, f"processes of {job.spec.name} are gone")


def test_it_is_quicker_than_plain_nx(run: Recipe) -> None:
    """By the tasks' own times, which a busy machine stretches too: sooner than plain nx's two slots at their best."""
    assert span_s(run.runs) < work_s(run.runs) / 2

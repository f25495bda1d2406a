"""The recipe in containers: a checkout of root, our image and plain Node's, and what a stop does to an agent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nx_dte.demo import recipe
from nx_dte.demo.layout import find_layout
from tests.images.jobs import JOB_END_S, Coordinator, Jobs
from toolchain.images.bases import provide

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.images.conftest import Built
    from tests.images.containers import Containers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

QUICK = {"NX_DTE_EXAMPLE_PACE": "0.1", "NX_DTE_EXAMPLE_AGENTS": "2"}
PLAIN = {"NX_SKIP_ATOMIZER_VALIDATION": "true", "NX_DTE_EXAMPLE_PACE": "0.1"}
YARN_ON_DASHES = "From Yarn 1.0 onwards"  # what it says of `record --`, which is in Nx's own recipe
WITHOUT_PYTHON = "rm -f /usr/bin/python3* /usr/local/bin/python3*; ! command -v python3"


@pytest.fixture
def jobs(containers: Containers, built: Built) -> Iterator[Jobs]:
    made = Jobs.prepare(containers, find_layout(built.root), built.runner)
    yield made
    made.clear()


@pytest.fixture
def coordinator(containers: Containers, built: Built, jobs: Jobs) -> Coordinator:
    return Coordinator.start(containers, built.coordinator, network=jobs.network)


def _took_part(coordinator: Coordinator, jobs: Jobs) -> set[str]:
    """The agents that ran tasks of the pipeline."""
    ci_run = coordinator.api.ci_run(str(jobs.pipeline_id))
    assert ci_run is not None
    return {str(run.agent) for run in coordinator.api.task_runs(ci_run["ci_run_id"])}


def test_git_and_nx_work_in_a_checkout_that_belongs_to_root(jobs: Jobs) -> None:
    jobs.variables = PLAIN
    main = jobs.script(
        "main",
        [
            "id -u; stat -c '%U %a' . package.json",
            "git rev-parse HEAD",
            "yarn nx affected --base=$CI_COMMIT_BEFORE_SHA --head=$CI_COMMIT_SHA -t lint,build --parallel=2",
            "ls dist/apps",
        ],
    )
    assert main.wait(JOB_END_S) == 0, main.log
    assert "\n1000\nroot 777\nroot 666\n" in main.log
    assert f"\n{jobs.origin.head}\n" in main.log
    assert "Successfully ran targets lint, build" in main.log


def test_the_bare_recipe_in_plain_node_without_python(
    containers: Containers, built: Built, jobs: Jobs, coordinator: Coordinator
) -> None:
    del containers
    image = provide(built.root, built.versions, "node18-full")
    jobs.point_at(**QUICK)
    agents = [
        jobs.script(f"agent{number}", [WITHOUT_PYTHON, *recipe.AGENT_SCRIPT], image=image)
        for number in (1, 2)
    ]
    main = jobs.script("main", [WITHOUT_PYTHON, *recipe.MAIN_SCRIPT], image=image)
    main.expect(YARN_ON_DASHES)
    assert main.wait(JOB_END_S) == 0, main.log
    assert [agent.wait(JOB_END_S) for agent in agents] == [0, 0]
    assert _took_part(coordinator, jobs) == {"agent1", "agent2"}


def test_a_stopped_agent_gives_its_tasks_back_and_main_is_green(jobs: Jobs, coordinator: Coordinator) -> None:
    jobs.point_at(NX_DTE_EXAMPLE_PACE="0.5", NX_DTE_EXAMPLE_AGENTS="1")
    agents = {name: jobs.command(name, "nx-dte", "agent", "--guard", "off") for name in ("agent1", "agent2")}
    main = jobs.script(
        "main",
        [
            'yarn nx-cloud start-ci-run --distribute-on="manual" --stop-agents-after=build',
            "yarn nx affected --base=$CI_COMMIT_BEFORE_SHA --head=$CI_COMMIT_SHA -t build",
        ],
    )

    def at_work() -> list[str]:
        return [name for name, agent in agents.items() if "[nx-dte] start: " in agent.log]

    main.wait_until(at_work, 120, "an agent runs a task")
    stopped, other = sorted(agents, key=lambda name: name != at_work()[0])
    code, took_s = agents[stopped].stop(grace_s=30)

    assert code == 128 + 15
    assert took_s < 25, "it was killed"
    assert "SIGTERM: leaving; what is not finished goes back to the queue" in agents[stopped].log
    assert main.wait(JOB_END_S) == 0, main.log
    assert agents[other].wait(JOB_END_S) == 0
    assert other in _took_part(coordinator, jobs)
    ci_run = coordinator.api.ci_run(str(jobs.pipeline_id))
    assert ci_run is not None
    assert {agent["name"]: agent["left_reason"] for agent in ci_run["agents"]}[stopped] == "interrupted"


def test_a_job_of_many_children_leaves_no_zombie(containers: Containers, built: Built) -> None:
    job = containers.feed(
        built.runner,
        [
            # Each child leaves a child of its own behind: those are tini's.
            "for n in $(seq 100); do (sleep 0.2 & exec true); done",
            "for n in $(seq 100); do grep -lE '^State:\\s+Z' /proc/[0-9]*/status || break; sleep 0.1; done 2>/dev/null",
            "ps -eo stat,comm --no-headers",
        ],
    )
    assert job.wait(60) == 0, job.log
    processes = job.log.rpartition("--no-headers\n")[2].splitlines()
    assert any(line.endswith("tini") for line in processes)
    assert [line for line in processes if line.startswith("Z")] == []

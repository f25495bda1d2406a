"""Every kind of command and task, one after the other in one main job, compared with plain nx step by step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.support.compare import differences, snapshot_tar, snapshot_tree
from tests.support.nx_results import RUN_FILE, read_results
from tests.support.stage import QUICK, START_CI_RUN, affected, outputs_of_steps, steps

if TYPE_CHECKING:
    from pathlib import Path

    from nx_dte.demo.coordinator import CoordinatorProcess
    from nx_dte.demo.jobs import Job
    from nx_dte.demo.workspace import Origin
    from tests.support.stage import Stage

pytestmark = pytest.mark.timeout(400)

STEPS = {
    "configuration": "yarn nx run-many -t build --configuration=production --parallel=2",
    "stale outputs of another configuration": "yarn nx run-many -t build,e2e-ci --parallel=3",
    "overrides": "yarn nx run shop:build --flavour=plum",
    "non-cacheable, run again": "yarn nx run docs:build",
    "npm script, noop, parallelism false": "yarn nx run-many -t test,lint --parallel=2",
    "skip-nx-cache": "yarn nx run-many -t test --projects=util,api,data --skip-nx-cache",
    "no-agents": "yarn nx run util:test --no-agents --skip-nx-cache",
    "nothing to do": "yarn nx run-many -t build --projects=no-such-project-*",
    "warm cache over a spoilt output": "touch dist/libs/util/junk && yarn nx run-many -t build,test,lint --parallel=2",
}
NAMES = list(STEPS)
COMMANDS = list(STEPS.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    origin: Origin
    coordinator: CoordinatorProcess
    plain: Job
    main: Job
    agents: list[Job]


@pytest.fixture(scope="module")
def parity(shared_stage: Stage) -> Parity:
    origin = shared_stage.origin()
    plain = shared_stage.plain(origin, steps(COMMANDS))
    coordinator = shared_stage.coordinator()
    main, agents = shared_stage.distributed(origin, coordinator, [START_CI_RUN, *steps(COMMANDS)])
    return Parity(origin=origin, coordinator=coordinator, plain=plain, main=main, agents=agents)


def kept(job: Job, number: int, name: str) -> Path:
    return job.spec.clone.home / f"after-{number}" / name


def test_all_jobs_come_to_their_end(parity: Parity) -> None:
    assert parity.plain.process.returncode == 0
    assert parity.main.process.returncode == 0
    assert [agent.process.returncode for agent in parity.agents] == [0, 0]


@pytest.mark.parametrize("number", range(len(NAMES)), ids=NAMES)
def test_exit_code(parity: Parity, number: int) -> None:
    plain, main = kept(parity.plain, number, "code"), kept(parity.main, number, "code")
    assert main.exists() == plain.exists()
    assert not plain.exists() or main.read_text() == plain.read_text()


@pytest.mark.parametrize("number", range(len(NAMES)), ids=NAMES)
def test_hashes_and_statuses(parity: Parity, number: int) -> None:
    plain, main = kept(parity.plain, number, "run.json"), kept(parity.main, number, "run.json")
    assert main.exists() == plain.exists()
    if plain.exists():
        assert read_results(main) == read_results(plain)


@pytest.mark.parametrize("number", range(len(NAMES)), ids=NAMES)
def test_files(parity: Parity, number: int) -> None:
    plain, main = kept(parity.plain, number, "tree.tar"), kept(parity.main, number, "tree.tar")
    assert differences(snapshot_tar(plain), snapshot_tar(main)) == []


@pytest.mark.parametrize("number", range(len(NAMES)), ids=NAMES)
def test_terminal_outputs(parity: Parity, number: int) -> None:
    expected = outputs_of_steps(parity.plain, COMMANDS)[number]
    assert outputs_of_steps(parity.main, COMMANDS)[number] == expected


def test_no_agents_keeps_the_tasks_on_main(parity: Parity, shared_stage: Stage) -> None:
    api = shared_stage.api(parity.coordinator)
    ci_run = api.ci_run(parity.main.spec.environment["CI_PIPELINE_ID"])
    assert ci_run is not None
    assert not [line for line in ci_run["invocations"] if "--no-agents" in line["command"]]


def test_the_next_pipeline_finds_everything_in_the_cache(parity: Parity, shared_stage: Stage) -> None:
    script = [START_CI_RUN, affected("lint,test,build,e2e-ci", "--parallel=2")]
    main, _ = shared_stage.distributed(parity.origin, parity.coordinator, script, agents=1)
    assert main.process.returncode == 0
    results = read_results(main.spec.clone.path / RUN_FILE)
    assert {name for name, result in results.items() if not result.is_hit} == {"docs:build"}
    plain = shared_stage.plain(parity.origin, script[1:])
    expected = snapshot_tree(plain.spec.clone.path)
    assert differences(expected, snapshot_tree(main.spec.clone.path)) == []


def test_nothing_affected_is_green_and_the_agents_stop(shared_stage: Stage) -> None:
    origin = shared_stage.origin({"README.md": "# Corner shop\n"})
    coordinator = shared_stage.coordinator()
    start = f"{START_CI_RUN} --stop-agents-after=e2e-ci"
    script = [start, affected("lint,test,build,e2e-ci", "--parallel=2")]
    main, agents = shared_stage.distributed(origin, coordinator, script, variables=QUICK)
    assert main.process.returncode == 0
    assert "No tasks were run" in main.log
    assert [agent.process.returncode for agent in agents] == [0, 0]

"""Tasks and commands that fail: the same verdict, outputs and logs as plain nx, and agents that leave."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.support.compare import differences, snapshot_tree
from tests.support.nx_results import RUN_FILE, read_results, sections, terminal_outputs
from tests.support.stage import QUICK, START_CI_RUN, affected

if TYPE_CHECKING:
    from nx_dte.demo.jobs import Job
    from tests.support.stage import Stage

pytestmark = pytest.mark.timeout(300)

ALL = affected("lint,test,build,e2e-ci", "--parallel=2")


def faults(target: str, **fault: object) -> str:
    return json.dumps({target: fault}) + "\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failing:
    plain: Job
    main: Job
    agents: list[Job]


@pytest.fixture(scope="module")
def failing(shared_stage: Stage) -> Failing:
    """A library's build writes its outputs and then fails; a test fails before writing any."""
    origin = shared_stage.origin(
        {
            "tools/release.json": '{ "release": "1.5.0" }\n',
            "libs/data/faults.json": faults("build", exitCode=3, message="data cannot be built"),
            "libs/ui/faults.json": faults("test", exitCode=1, early=True, message="ui does not pass"),
        }
    )
    plain = shared_stage.plain(origin, [ALL])
    coordinator = shared_stage.coordinator()
    main, agents = shared_stage.distributed(origin, coordinator, [START_CI_RUN, ALL])
    return Failing(plain=plain, main=main, agents=agents)


def test_failing_tasks_give_the_exit_code_of_plain_nx(failing: Failing) -> None:
    assert failing.plain.process.returncode not in {0, None}
    assert failing.main.process.returncode == failing.plain.process.returncode


def test_dependents_of_a_failed_task_are_skipped_and_the_rest_runs(failing: Failing) -> None:
    expected = read_results(failing.plain.spec.clone.path / RUN_FILE)
    actual = read_results(failing.main.spec.clone.path / RUN_FILE)
    assert "shop:build" not in expected
    assert expected["data:build"].code != 0
    assert actual == expected


def closing_list(log: str) -> list[str]:
    """The tasks Nx names at the end: those not run, then those that failed."""
    closing = log.split("Tasks not run because", 1)[1]
    return sorted(line for line in closing.split("\n") if line.startswith("- "))


def test_the_closing_summary_names_the_same_tasks(failing: Failing) -> None:
    expected = closing_list(failing.plain.log)
    assert "- shop:build" in expected
    assert "- data:build" in expected
    assert closing_list(failing.main.log) == expected


def test_the_failed_tasks_outputs_reach_main(failing: Failing) -> None:
    expected = snapshot_tree(failing.plain.spec.clone.path)
    assert "dist/libs/data/index.js" in expected
    assert differences(expected, snapshot_tree(failing.main.spec.clone.path)) == []


def test_the_failed_tasks_log_reaches_main(failing: Failing) -> None:
    expected = terminal_outputs(sections(failing.plain.log, [ALL])[-1])
    assert "data cannot be built" in expected["data:build"]
    assert terminal_outputs(sections(failing.main.log, [START_CI_RUN, ALL])[-1]) == expected


def test_agents_end_in_order_after_a_failure(failing: Failing) -> None:
    assert [agent.process.returncode for agent in failing.agents] == [0, 0]


def test_bail_stops_handing_out_tasks(stage: Stage) -> None:
    origin = stage.origin(
        {
            "tools/release.json": '{ "release": "1.5.1" }\n',
            "libs/util/faults.json": faults("build", exitCode=3, early=True, message="util cannot be built"),
        }
    )
    bail = affected("lint,test,build,e2e-ci", "--parallel=1", "--nxBail")
    plain = stage.plain(origin, [bail])
    main, agents = stage.distributed(origin, stage.coordinator(), [START_CI_RUN, bail], agents=1)
    assert main.process.returncode == plain.process.returncode != 0
    assert "util cannot be built" in terminal_outputs(main.log)["util:build"]
    results = read_results(main.spec.clone.path / RUN_FILE)
    assert len(results) < 4  # util:build has the longest path and goes first; without bail 14 tasks run
    assert [agent.process.returncode for agent in agents] == [0]


RECORDED = "bash -c 'echo to stdout; echo to stderr >&2; exit 7'"


@pytest.mark.parametrize("separator", ["-- ", ""], ids=["with --", "without --"])
def test_a_failing_record_has_the_commands_output_and_exit_code(stage: Stage, separator: str) -> None:
    """`set -e` ends the script there; agents must not wait for a main that is gone."""
    coordinator = stage.coordinator()
    script = [START_CI_RUN, f"yarn nx-cloud record {separator}./check.sh a 'b c'", ALL]
    origin = stage.origin({"check.sh": f'#!/bin/bash\necho "given $# $2"\n{RECORDED}\n'})
    script.insert(1, "chmod +x check.sh")
    main, agents = stage.distributed(origin, coordinator, script, agents=1, variables=QUICK)
    assert main.process.returncode == 7
    recorded = sections(main.log, script)[2]
    assert "given 2 b c\n" in recorded
    assert "to stdout\n" in recorded
    assert "to stderr\n" in recorded
    assert agents[0].process.returncode == 0

"""`nx-dte orchestrate` and `nx-dte agent` around a real Nx."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import sys
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import httpx2
import pytest

from nx_dte.demo.coordinator import free_port
from tests.support.processes import is_gone, processes_of, wait_until
from tests.support.stage import AGENT_END_S, JOB_END_S, QUICK

if TYPE_CHECKING:
    from nx_dte.demo.jobs import Job
    from nx_dte.demo.pipeline import Pipeline
    from tests.support.stage import Stage

pytestmark = pytest.mark.timeout(300)

NX_DTE = f"{sys.executable} -m nx_dte"
MAIN = (
    f"{NX_DTE} orchestrate --junit tasks.xml --stop-agents-after=build --record 'nx format:check' "
    "-- nx affected -t lint,test,build --parallel=2"
)
AGENT = f"exec {NX_DTE} agent"
CANCELLED_WITHIN_S = 30.0


def _agents(pipeline: Pipeline, count: int) -> list[Job]:
    names = [f"nx-dte-agent{number}" for number in range(1, count + 1)]
    return [pipeline.start(pipeline.prepare(name, [AGENT])) for name in names]


def test_a_main_job_and_its_agents_run_green_with_summary_and_report(stage: Stage) -> None:
    coordinator = stage.coordinator()
    pipeline = stage.pipeline(stage.origin(), {**QUICK, **coordinator.variables()})
    agents = _agents(pipeline, 2)
    main = pipeline.start(pipeline.prepare("nx-dte", [MAIN]))
    assert main.wait(JOB_END_S) == 0
    assert [agent.wait(AGENT_END_S + 30) for agent in agents] == [0, 0]
    assert "section_start:" in main.log
    assert "nx-dte: succeeded · CI run " in main.log
    assert "  agents   2 joined; tasks run: nx-dte-agent1 " in main.log
    report = ET.parse(main.spec.clone.path / "tasks.xml").getroot()
    cases = {
        case.get("name"): case.get("file") for case in report.findall("testsuite[@name='build']/testcase")
    }
    assert cases["ui"] == "libs/ui"
    assert cases["docs"] == "docs"
    assert report.findall("testsuite/testcase/failure") == []
    counted = re.search(r"^  tasks    (\d+): \1 succeeded$", main.log, re.MULTILINE)
    assert counted is not None
    assert len(report.findall("testsuite/testcase")) == int(counted[1])
    _ask_as_the_summary_says(main.log, coordinator.read_write_token, tasks=int(counted[1]))
    assert "section_start:" in agents[0].log
    for job in (main, *agents):
        wait_until(lambda job=job: is_gone(job.spec.clone), 15, f"processes of {job.spec.name} ended")  # type: ignore[misc]


def _ask_as_the_summary_says(log: str, token: str, *, tasks: int) -> None:
    """The line to copy really answers."""
    line = next(line for line in log.splitlines() if line.startswith("  more     "))
    curl, option, header, url = shlex.split(line.removeprefix("  more     "))
    assert (curl, option, header) == ("curl", "-H", "authorization: $NX_CLOUD_ACCESS_TOKEN")
    answer = httpx2.get(url, headers={"authorization": token}, timeout=30, trust_env=False)
    assert len(answer.json()["tasks"]) == tasks


def test_a_failing_task_fails_main_and_is_mirrored_by_its_agents(stage: Stage) -> None:
    coordinator = stage.coordinator()
    fault = '{ "test": { "exitCode": 1, "message": "AssertionError: 2 is not 3" } }\n'
    pipeline = stage.pipeline(
        stage.origin({"libs/util/faults.json": fault}), {**QUICK, **coordinator.variables()}
    )
    agents = _agents(pipeline, 1)
    main = pipeline.start(pipeline.prepare("nx-dte", [MAIN]))
    assert main.wait(JOB_END_S) == 1
    assert [agent.wait(AGENT_END_S + 30) for agent in agents] == [77]
    assert "nx-dte: failed with exit code 1 · CI run " in main.log
    assert (
        "  FAILED   util:test (exit code 1 on nx-dte-agent1)\n           AssertionError: 2 is not 3\n"
        in main.log
    )
    report = ET.parse(main.spec.clone.path / "tasks.xml").getroot()
    (failure,) = report.findall("testsuite/testcase/failure")
    assert "AssertionError: 2 is not 3" in (failure.text or "")


def test_a_failing_record_is_mirrored_by_agents_that_leave_before_main_does(stage: Stage) -> None:
    """They are released by stop-agents-after; what is unformatted fails only `nx format:check`."""
    coordinator = stage.coordinator()
    origin = stage.origin({"libs/util/src/broken.js": "this is no javascript (\n"})
    pipeline = stage.pipeline(origin, {**QUICK, **coordinator.variables()})
    agents = _agents(pipeline, 1)
    main = pipeline.start(pipeline.prepare("nx-dte", [MAIN]))
    assert main.wait(JOB_END_S) == 1
    assert [agent.wait(AGENT_END_S + 30) for agent in agents] == [77]
    assert "because no more work is to come" in agents[0].log
    assert "  FAILED   record `nx format:check` failed with exit code 1\n" in main.log
    assert re.search(r"^  tasks    (\d+): \1 succeeded$", main.log, re.MULTILINE)


def test_without_a_coordinator_main_is_green_alone_and_an_agent_ends_with_75(stage: Stage) -> None:
    away = {"NX_CLOUD_API": f"http://127.0.0.1:{free_port()}", "NX_CLOUD_ACCESS_TOKEN": "token"}
    pipeline = stage.pipeline(stage.origin(), {**QUICK, **away, "NX_DTE_EXAMPLE_AGENTS": "0"})
    (agent,) = _agents(pipeline, 1)
    main = pipeline.start(pipeline.prepare("nx-dte", [MAIN]))
    assert agent.wait(60) == 75
    assert main.wait(JOB_END_S) == 0
    assert "NOTHING IS DISTRIBUTED" in main.log
    assert "Successfully ran targets lint, test, build" in main.log


def test_a_coordinator_that_dies_in_mid_run_turns_nothing_red(stage: Stage) -> None:
    """The command that runs finishes alone; the next one does not even load the client."""
    coordinator = stage.coordinator()
    lost = {"NX_DTE_COORDINATOR_LOST_S": "5", "NX_DTE_EXAMPLE_PACE": "1", "NX_DTE_EXAMPLE_AGENTS": "0"}
    pipeline = stage.pipeline(stage.origin(), {**coordinator.variables(), **lost})
    agents = _agents(pipeline, 1)
    two = f"{NX_DTE} orchestrate --run 'nx run-many -t lint' -- nx affected -t test,build --parallel=2"
    main = pipeline.start(pipeline.prepare("nx-dte", [two]))
    agents[0].wait_for_text("[nx-dte] start: ", 90)
    coordinator.kill()
    assert main.wait(JOB_END_S) == 0
    assert agents[0].wait(AGENT_END_S + 60) == 75
    assert "tasks run in this job instead of on agents" in main.log
    assert "`nx run-many -t lint` IS NOT DISTRIBUTED" in main.log
    assert main.log.count("Successfully ran target") == 2
    assert "WARNING: the CI run could not be ended" in main.log


def _tell(job: Job, number: signal.Signals, *, all_at_once: bool) -> None:
    """As the shell executor does it: the process group of the job. As a container's runtime does: every process."""
    if not all_at_once:
        job.kill(number)
        return
    for pid in processes_of(job.spec.clone):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


@pytest.mark.parametrize("all_at_once", [False, True])
def test_a_cancelled_main_lets_its_agents_go_and_leaves_no_process(
    stage: Stage, *, all_at_once: bool
) -> None:
    coordinator = stage.coordinator()
    pipeline = stage.pipeline(stage.origin(), {**coordinator.variables(), "NX_DTE_EXAMPLE_PACE": "3"})
    agents = _agents(pipeline, 1)
    main = pipeline.start(pipeline.prepare("nx-dte", [f"exec {MAIN}"]))
    agents[0].wait_for_text("[nx-dte] start: ", 90)
    _tell(main, signal.SIGTERM, all_at_once=all_at_once)
    assert main.wait(CANCELLED_WITHIN_S) == 128 + signal.SIGTERM
    assert agents[0].wait(CANCELLED_WITHIN_S) == 77
    assert "the coordinator knows; everything this job had started has ended" in main.log
    for job in (main, *agents):
        wait_until(lambda job=job: is_gone(job.spec.clone), 10, f"processes of {job.spec.name} ended")  # type: ignore[misc]


@pytest.mark.parametrize(("number", "all_at_once"), [(signal.SIGQUIT, False), (signal.SIGTERM, True)])
def test_a_cancelled_agent_gives_its_tasks_back(
    stage: Stage, number: signal.Signals, *, all_at_once: bool
) -> None:
    coordinator = stage.coordinator()
    pipeline = stage.pipeline(
        stage.origin(), {**QUICK, **coordinator.variables(), "NX_DTE_EXAMPLE_PACE": "1"}
    )
    first, second = _agents(pipeline, 2)
    main = pipeline.start(pipeline.prepare("nx-dte", [MAIN]))
    first.wait_for_text("[nx-dte] start: ", 90)
    _tell(first, number, all_at_once=all_at_once)
    assert first.wait(30) == 128 + number
    wait_until(lambda: is_gone(first.spec.clone), 15, "the agent's processes ended")
    assert main.wait(JOB_END_S) == 0
    assert second.wait(AGENT_END_S + 30) == 0

"""`nx-dte orchestrate` and `nx-dte agent` around a real Nx."""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from nx_dte.demo.coordinator import free_port
from tests.support.processes import is_gone, wait_until
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
AGENT = f"{NX_DTE} agent"
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
    assert "agents  2 joined; tasks run: nx-dte-agent1 " in main.log
    report = ET.parse(main.spec.clone.path / "tasks.xml").getroot()
    cases = report.findall("testsuite[@name='build']/testcase")
    assert "story" in {case.get("name") for case in cases}
    assert {case.get("file") for case in cases if case.get("name") == "story"} == {"libs/story"}
    assert report.findall("testsuite/testcase/failure") == []
    assert "section_start:" in agents[0].log
    for job in (main, *agents):
        wait_until(lambda job=job: is_gone(job.spec.clone), 15, f"processes of {job.spec.name} ended")  # type: ignore[misc]


def test_a_failing_task_fails_main_and_is_mirrored_by_its_agents(stage: Stage) -> None:
    coordinator = stage.coordinator()
    origin = stage.origin({"libs/util/src/broken.js": "this is no javascript (\n"})
    pipeline = stage.pipeline(origin, {**QUICK, **coordinator.variables()})
    agents = _agents(pipeline, 1)
    main = pipeline.start(pipeline.prepare("nx-dte", [MAIN]))
    assert main.wait(JOB_END_S) == 1
    assert [agent.wait(AGENT_END_S + 30) for agent in agents] == [77]
    assert "nx-dte: failed (exit code 1)" in main.log
    report = ET.parse(main.spec.clone.path / "tasks.xml").getroot()
    assert report.findall("testsuite/testcase/failure")


def test_without_a_coordinator_main_is_green_alone_and_an_agent_ends_with_75(stage: Stage) -> None:
    away = {"NX_CLOUD_API": f"http://127.0.0.1:{free_port()}", "NX_CLOUD_ACCESS_TOKEN": "token"}
    pipeline = stage.pipeline(stage.origin(), {**QUICK, **away, "NX_DTE_EXAMPLE_AGENTS": "0"})
    (agent,) = _agents(pipeline, 1)
    main = pipeline.start(pipeline.prepare("nx-dte", [MAIN]))
    assert agent.wait(60) == 75
    assert main.wait(JOB_END_S) == 0
    assert "NOTHING IS DISTRIBUTED" in main.log
    assert "nx affected" in main.log


def test_a_cancelled_main_lets_its_agents_go_and_leaves_no_process(stage: Stage) -> None:
    coordinator = stage.coordinator()
    pipeline = stage.pipeline(stage.origin(), {**coordinator.variables(), "NX_DTE_EXAMPLE_PACE": "3"})
    agents = _agents(pipeline, 1)
    main = pipeline.start(pipeline.prepare("nx-dte", [f"exec {MAIN}"]))
    agents[0].wait_for_text("[nx-dte] start: ", 90)
    main.kill(signal.SIGTERM)
    assert main.wait(CANCELLED_WITHIN_S) == 128 + signal.SIGTERM
    assert agents[0].wait(CANCELLED_WITHIN_S) == 77
    for job in (main, *agents):
        wait_until(lambda job=job: is_gone(job.spec.clone), 10, f"processes of {job.spec.name} ended")  # type: ignore[misc]


def test_a_cancelled_agent_gives_its_tasks_back(stage: Stage) -> None:
    coordinator = stage.coordinator()
    pipeline = stage.pipeline(stage.origin(), {**QUICK, **coordinator.variables(), "NX_DTE_EXAMPLE_PACE": "1"})
    first, second = _agents(pipeline, 2)
    main = pipeline.start(pipeline.prepare("nx-dte", [MAIN]))
    first.wait_for_text("[nx-dte] start: ", 90)
    first.kill(signal.SIGQUIT)
    assert first.wait(15) == 128 + signal.SIGQUIT
    wait_until(lambda: is_gone(first.spec.clone), 5, "the agent's processes ended")
    assert main.wait(JOB_END_S) == 0
    assert second.wait(AGENT_END_S + 30) == 0

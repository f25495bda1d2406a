"""Nothing waits without a deadline, and nothing is lost when a process is: agents, main, coordinator."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from nx_dte.demo import recipe
from tests.support.nx_results import RUN_FILE, read_results
from tests.support.processes import is_gone, kill_all_of, processes_of, wait_until
from tests.support.stage import AGENT_END_S, JOB_END_S, QUICK, START_CI_RUN, affected
from tests.support.started import SHORT, holder, start, starts_of, view_of

if TYPE_CHECKING:
    from tests.support.stage import Stage
    from tests.support.started import Started

pytestmark = pytest.mark.timeout(300)

LEAVE_S = 60.0
GIVE_UP_S = 45.0
PAUSE_S = 185
SLOW_PROJECTS = ("libs/ui", "libs/util", "libs/data", "apps/shop", "apps/admin", "apps/api")
BUILD = "yarn nx run-many -t build --projects=util,docs --parallel=2"


@pytest.fixture(scope="module")
def paused(shared_stage: Stage) -> Started:
    """A main job with three minutes of other work between two commands; it runs while the other tests do."""
    script = [START_CI_RUN, BUILD, f"sleep {PAUSE_S}", "yarn nx run-many -t test --projects=util"]
    return start(shared_stage, script, agents=1)


def test_agents_wait_for_their_main(stage: Stage, paused: Started) -> None:
    """Asking for `paused` first starts the long pause."""
    assert paused.main.is_running
    coordinator = stage.coordinator()
    pipeline = stage.pipeline(stage.origin(), {**QUICK, **coordinator.variables()})
    [agent_spec] = pipeline.prepare_agents(1)
    main_spec = pipeline.prepare("nx-dte", [START_CI_RUN, BUILD])
    agent = pipeline.start(agent_spec)
    agent.wait_for_text("wait", 30)
    main = pipeline.start(main_spec)
    assert main.wait(JOB_END_S) == 0
    assert agent.wait(AGENT_END_S) == 0
    late = pipeline.start(pipeline.prepare("too-late", recipe.AGENT_SCRIPT))
    assert late.wait(LEAVE_S) == 0
    assert "there is nothing to do in it" in late.log


def test_an_agent_whose_main_never_comes_gives_up(stage: Stage) -> None:
    """Bare it ends in order and says why; supervised (NX_DTE_MIRROR) with the code for having given up."""
    variables = {**QUICK, **stage.coordinator().variables(), "NX_CLOUD_AGENT_TIMEOUT_MS": "4000"}
    pipeline = stage.pipeline(stage.origin(), variables)
    bare = pipeline.start(pipeline.prepare("bare", recipe.AGENT_SCRIPT))
    supervised = pipeline.start(
        pipeline.prepare("supervised", recipe.AGENT_SCRIPT, own={"NX_DTE_MIRROR": "1"})
    )
    assert bare.wait(GIVE_UP_S) == 0
    assert "main job" in bare.log
    assert supervised.wait(GIVE_UP_S) == 76


def test_a_killed_agents_task_runs_on_another(stage: Stage) -> None:
    script = [START_CI_RUN, "yarn nx run-many -t test --projects=ui,util,data --parallel=1"]
    started = start(stage, script, agents=2, slow_test_s=8, settings=SHORT)
    victim = holder(stage, started, "ui:test")
    kill_all_of(victim.spec.clone)
    assert started.main.wait(JOB_END_S) == 0
    view = view_of(stage, started, "ui:test")
    assert view is not None
    assert view["attempt"] == 2
    assert victim.spec.name not in view["agent_name"]
    remarks = [
        line.text for line in started.main.lines if "ui:test" in line.text and victim.spec.name in line.text
    ]
    assert remarks, "main's log says whose task went back"
    survivor = next(job for job in started.agents if job is not victim)
    assert survivor.wait(LEAVE_S) == 0


@pytest.mark.parametrize("whole_host", [False, True], ids=["its process group", "every process of it"])
def test_agents_leave_when_main_is_killed(stage: Stage, *, whole_host: bool) -> None:
    """There is more than a minute of work left, so the agent does not leave for want of it."""
    script = [START_CI_RUN, "yarn nx run-many -t test --projects=ui,util,data,shop,admin,api --parallel=1"]
    started = start(stage, script, agents=1, slow_test_s=15, slow_projects=SLOW_PROJECTS)
    holder(stage, started, "ui:test")
    started.main.kill()
    if whole_host:
        kill_all_of(started.main.spec.clone)
    killed_at = time.monotonic()
    assert started.agents[0].wait(LEAVE_S) == 0
    assert time.monotonic() - killed_at < LEAVE_S
    wait_until(partial(is_gone, started.main.spec.clone), 15, "main's helpers are gone")


@pytest.mark.parametrize("away_s", [5, 40])
def test_a_killed_coordinator_loses_nothing(stage: Stage, away_s: float) -> None:
    """Tasks end, upload and report while it is away; none runs a second time for it."""
    script = [START_CI_RUN, affected("test,build", "--parallel=2")]
    started = start(stage, script, agents=2, slow_test_s=6)
    holder(stage, started, "ui:test")
    started.coordinator.kill()
    time.sleep(away_s)
    started.coordinator.start()
    assert started.main.wait(JOB_END_S) == 0
    results = read_results(started.main.spec.clone.path / RUN_FILE)
    assert results["ui:test"].code == 0
    assert [agent.wait(LEAVE_S) for agent in started.agents] == [0, 0]
    assert set(starts_of(started).values()) == {1}


def test_a_killed_executor_costs_one_attempt_of_its_tasks_and_no_more(stage: Stage) -> None:
    script = [START_CI_RUN, "yarn nx run-many -t test --projects=ui,util --parallel=2"]
    started = start(stage, script, agents=1, slow_test_s=5)
    agent = holder(stage, started, "ui:test")
    (executor,) = [
        pid for pid, command in processes_of(agent.spec.clone).items() if command.endswith("/executor.js")
    ]
    os.kill(executor, signal.SIGKILL)
    assert started.main.wait(JOB_END_S) == 0
    assert agent.wait(LEAVE_S) == 0
    assert agent.log.count("done: ui:test") == 1


def test_a_stopped_script_lets_its_agents_go(stage: Stage) -> None:
    started = start(stage, [START_CI_RUN, "yarn nx-cloud record -- false", BUILD], agents=1)
    assert started.main.wait(JOB_END_S) == 1
    assert started.agents[0].wait(LEAVE_S) == 0


def test_three_minutes_of_other_work_kill_nothing(paused: Started) -> None:
    assert paused.main.wait(PAUSE_S + JOB_END_S) == 0
    assert paused.agents[0].wait(LEAVE_S) == 0
    assert "util:test" in read_results(paused.main.spec.clone.path / RUN_FILE)
    assert paused.agents[0].duration_s > PAUSE_S

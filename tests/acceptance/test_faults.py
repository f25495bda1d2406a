"""Whatever is frozen, cut off, full, of another version or not the same: the run ends soon, right, and says why."""

from __future__ import annotations

import os
import shutil
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from nx_dte.demo import recipe
from nx_dte.demo.coordinator import CoordinatorProcess, free_port
from tests.support.nx_results import RUN_FILE, read_results
from tests.support.processes import processes_of, wait_until
from tests.support.small_disk import SmallDisk, small_disk
from tests.support.stage import JOB_END_S, QUICK, START_CI_RUN
from tests.support.started import SHORT, holder, slow, start, starts_of, view_of, wait_until_leased
from tests.support.tcp_proxy import TcpProxy

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nx_dte.demo.jobs import Job
    from nx_dte.demo.workspace import Clone
    from tests.support.stage import Stage

pytestmark = pytest.mark.timeout(240)

LEAVE_S = 60.0
TESTS = "yarn nx run-many -t test --projects=ui,util --parallel=2"
BUILDS = "yarn nx run-many -t build --projects=shop,docs --parallel=2"
LOST_S = 4
LOST = {"NX_DTE_COORDINATOR_LOST_S": str(LOST_S)}
MIRROR = {"NX_DTE_MIRROR": "1"}
MIRRORED = "NX_DTE_MIRROR=1"
OTHER_OUTPUTS = """{
  "name": "ui", "projectType": "library", "implicitDependencies": ["util"],
  "targets": { "lint": {}, "test": {}, "build": { "outputs": ["{workspaceRoot}/build/ui"] } }
}
"""


def signal_all(clone: Clone, number: signal.Signals) -> None:
    """To every process of a job: its groups, and what has a session of its own."""
    for pid in processes_of(clone):
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def codes(job: Job) -> dict[str, int]:
    return {task_id: result.code for task_id, result in read_results(job.spec.clone.path / RUN_FILE).items()}


def warnings(job: Job) -> str:
    return "\n".join(line.text for line in job.lines if line.text.startswith("[nx-dte] WARNING"))


def test_a_frozen_agent_that_wakes_up_late_changes_nothing(stage: Stage) -> None:
    started = start(stage, [START_CI_RUN, TESTS], agents=2, slow_test_s=6, settings=SHORT)
    victim = holder(stage, started, "ui:test")
    signal_all(victim.spec.clone, signal.SIGSTOP)

    def runs_elsewhere() -> bool:
        view = view_of(stage, started, "ui:test")
        return view is not None and view["attempt"] == 2

    wait_until(runs_elsewhere, 60, "another agent has ui:test")
    signal_all(victim.spec.clone, signal.SIGCONT)

    assert started.main.wait(JOB_END_S) == 0
    view = view_of(stage, started, "ui:test")
    assert view is not None
    assert (view["attempt"], view["outcome"]) == (2, "succeeded")
    assert victim.spec.name not in view["agent_name"]
    assert victim.wait(LEAVE_S) == 0
    assert "done: ui:test" not in victim.log
    # By its heartbeat, its upload or its report, whichever comes first.
    words = ("ui:test was taken back", "ui:test is left to another agent", "report of ui:test was refused")
    assert any(each in victim.log for each in words)


def test_an_agent_that_was_cut_off_comes_back_and_works_on(stage: Stage) -> None:
    """What it held is the next attempt, which nobody else can take: never both."""
    coordinator = stage.coordinator(SHORT)
    with TcpProxy([("127.0.0.1", coordinator.port)]) as proxy:
        started = start(stage, [START_CI_RUN, TESTS], agents=0, slow_test_s=4, coordinator=coordinator)
        spec = started.pipeline.prepare("cut-off", recipe.AGENT_SCRIPT, own={"NX_CLOUD_API": proxy.url})
        agent = started.pipeline.start(spec)
        wait_until_leased(stage, started, "ui:test")
        proxy.is_refusing = True
        proxy.cut()

        def went_back() -> bool:
            view = view_of(stage, started, "ui:test")
            return view is not None and (view["attempt"], view["state"]) == (2, "ready")

        wait_until(went_back, 60, "ui:test has gone back to the queue")
        proxy.is_refusing = False

        assert started.main.wait(JOB_END_S) == 0
        assert agent.wait(LEAVE_S) == 0
    view = view_of(stage, started, "ui:test")
    assert view is not None
    assert (view["attempt"], view["outcome"]) == (2, "succeeded")
    assert agent.log.count("done: ui:test") == 1
    assert "cut-off was lost: nothing was heard of it for 10 s" in started.main.log
    assert "cut-off is back after it was given up" in started.main.log


def test_a_coordinator_gone_for_good_leaves_main_to_finish(stage: Stage) -> None:
    """Whatever else its script does with the coordinator, nothing turns red for want of it."""
    rest = ["yarn nx-cloud record -- echo all the same", "yarn nx-cloud complete-ci-run"]
    started = start(stage, [START_CI_RUN, TESTS, *rest], agents=2, slow_test_s=4, variables=LOST)
    mirroring = started.pipeline.start(
        started.pipeline.prepare("mirroring", recipe.AGENT_SCRIPT, own={**MIRROR, **QUICK})
    )
    wait_until_leased(stage, started, "ui:test")  # by any of the three
    mirroring.wait_for_text("joined CI run", 60)

    started.coordinator.kill()

    assert started.main.wait(JOB_END_S) == 0
    said = warnings(started.main)
    assert f"the coordinator is lost for more than {LOST_S} s" in said
    assert "all the same" in [line.text for line in started.main.lines]
    assert "not recorded" in said
    assert "The CI run was not completed" in said
    assert set(codes(started.main).values()) == {0}
    assert {"ui:test", "util:test"} <= set(codes(started.main))
    assert [agent.wait(LEAVE_S) for agent in started.agents] == [0, 0]
    assert mirroring.wait(LEAVE_S) == 75
    assert "lost the coordinator" in mirroring.log


def test_a_coordinator_back_too_late_learns_that_main_did_the_work(stage: Stage) -> None:
    """The run is none the worse for it: what its agent still holds is no broken-off command."""
    started = start(stage, [START_CI_RUN, TESTS], agents=1, slow_test_s=6, settings=SHORT, variables=LOST)
    agent = holder(stage, started, "ui:test")
    signal_all(agent.spec.clone, signal.SIGSTOP)
    started.coordinator.kill()
    started.main.wait_for_text("run in this job instead of on agents", 60)
    signal_all(started.main.spec.clone, signal.SIGSTOP)  # however long it takes to start, main is still at it
    started.coordinator.start()
    signal_all(started.main.spec.clone, signal.SIGCONT)

    assert started.main.wait(JOB_END_S) == 0
    api, ci_id = stage.api(started.coordinator), str(started.pipeline.pipeline_id)
    wait_until(lambda: (api.ci_run(ci_id) or {})["ended_at"] is not None, 60, "the run has ended")
    ci_run = api.ci_run(ci_id) or {}
    assert (ci_run["state"], ci_run["outcome"]) == ("finished", "succeeded")
    signal_all(agent.spec.clone, signal.SIGCONT)
    assert agent.wait(LEAVE_S) == 0


def test_a_coordinator_that_lost_its_data_is_left_by_all(stage: Stage) -> None:
    started = start(stage, [START_CI_RUN, TESTS], agents=1, slow_test_s=4)
    spec = started.pipeline.prepare("mirroring", recipe.AGENT_SCRIPT, own={**MIRROR, **QUICK})
    mirroring = started.pipeline.start(spec)
    wait_until_leased(stage, started, "ui:test")
    mirroring.wait_for_text("joined CI run", 60)

    started.coordinator.kill()
    shutil.rmtree(started.coordinator.folder / "coordinator")
    started.coordinator.start()

    assert started.main.wait(JOB_END_S) == 0
    assert "there is no CI run" in warnings(started.main)
    assert set(codes(started.main).values()) == {0}
    assert started.agents[0].wait(LEAVE_S) == 0
    assert mirroring.wait(LEAVE_S) == 75
    assert "the coordinator has forgotten this agent" in mirroring.log


def test_without_a_coordinator_from_the_start_nx_itself_fails(stage: Stage) -> None:
    """No light client was ever loaded, so nothing of ours runs (docs/differences.md)."""
    variables = {
        **QUICK,
        "NX_CLOUD_API": f"http://127.0.0.1:{free_port()}",
        "NX_CLOUD_ACCESS_TOKEN": "x" * 20,
    }
    pipeline = stage.pipeline(stage.origin(), variables)
    command = "yarn nx run-many -t lint --projects=util || echo nx said $?"
    without = "NX_NO_CLOUD=true yarn nx run-many -t lint --projects=util && echo it runs without"
    main = pipeline.start(pipeline.prepare("nx-dte", [command, without, START_CI_RUN]))
    assert main.wait(JOB_END_S) != 0
    assert "nx said 1" in main.log
    assert [line.text for line in main.lines].count("it runs without") == 1
    assert "[nx-dte]" not in main.log


def test_without_any_agent_main_runs_its_tasks(stage: Stage) -> None:
    started = start(stage, [START_CI_RUN, TESTS], agents=0, variables={"NX_DTE_JOIN_TIMEOUT": "2"})
    assert started.main.wait(JOB_END_S) == 0
    assert "NX_DTE_JOIN_TIMEOUT" in warnings(started.main)
    assert {"ui:test": 0, "util:test": 0}.items() <= codes(started.main).items()


def test_a_task_that_hangs_is_ended_with_all_it_started(stage: Stage) -> None:
    """It has left a child in a session of its own; its agent runs the rest."""
    original = (stage.layout.example / "tools/test.js").read_text(encoding="utf-8")
    leaves = 'require("node:child_process").spawn("setsid", ["sleep", "601"], { stdio: "ignore" });\n'
    started = start(
        stage,
        [START_CI_RUN, "yarn nx run-many -t test,lint --projects=ui,util --parallel=2"],
        agents=1,
        changes={
            "libs/ui/faults.json": slow("test", 600),
            "tools/test.js": original.replace(
                "'use strict';\n", f"'use strict';\nif (process.argv[2] === 'libs/ui') {leaves}", 1
            ),
        },
        variables={"NX_DTE_TASK_TIMEOUT": "20"},
    )
    agent = holder(stage, started, "ui:test")

    def running() -> list[str]:
        commands = processes_of(agent.spec.clone).values()
        return [each for each in commands if each == "sleep 601" or each.endswith("tools/test.js libs/ui")]

    wait_until(lambda: len(running()) > 1, 30, "ui:test hangs, and what it started runs")
    agent.wait_for_text("ui:test was taken back", 60)
    wait_until(lambda: not running(), 10, "nothing runs of ui:test")
    assert started.main.wait(JOB_END_S) == 1
    ended = codes(started.main)
    assert ended.pop("ui:test") != 0
    assert set(ended.values()) == {0}
    assert len(ended) > 3
    assert "ui:test failed" in started.main.log
    assert "NX_DTE_TASK_TIMEOUT" in started.main.log
    assert agent.wait(LEAVE_S) == 0


def test_a_slow_task_is_mentioned_and_left_alone(stage: Stage) -> None:
    started = start(
        stage,
        [START_CI_RUN, "yarn nx run ui:test"],
        agents=1,
        slow_test_s=9,
        settings={**SHORT, "NX_DTE_SLOW_TASK_UNKNOWN_S": "2"},
    )
    assert started.main.wait(JOB_END_S) == 0
    assert [line.text for line in started.main.lines if "ui:test runs for" in line.text]
    assert starts_of(started)["ui:test"] == 1


@pytest.mark.parametrize(("own", "code"), [({}, 1), (MIRROR, 78)], ids=["bare", "supervised"])
def test_an_agent_of_another_commit_is_refused(stage: Stage, own: dict[str, str], code: int) -> None:
    started = start(stage, [START_CI_RUN, "yarn nx run util:lint"], agents=0)
    other = started.pipeline.start(
        started.pipeline.prepare("other", recipe.AGENT_SCRIPT, own={**own, "CI_COMMIT_SHA": "0" * 40})
    )
    assert other.wait(LEAVE_S) == code
    assert "0" * 7 in other.log
    started.pipeline.start(started.pipeline.prepare("same", recipe.AGENT_SCRIPT))
    assert started.main.wait(JOB_END_S) == 0


def test_an_agent_whose_targets_differ_runs_nothing_and_says_what_differs(stage: Stage) -> None:
    started = start(stage, [START_CI_RUN, "yarn nx run-many -t build --projects=ui,docs"], agents=0)
    spec = started.pipeline.prepare("other", recipe.AGENT_SCRIPT, own=MIRROR)
    (spec.clone.path / "libs/ui/project.json").write_text(OTHER_OUTPUTS)
    other = started.pipeline.start(spec)

    difference = 'ui:build: outputs differ: main has ["dist/libs/ui"], this agent has ["build/ui"]'
    assert other.wait(LEAVE_S) == 78
    assert difference in other.log
    assert "output of" not in other.log
    wait_until(lambda: difference in started.main.log, 30, "main's log names the difference")
    healthy = started.pipeline.start(started.pipeline.prepare("healthy", recipe.AGENT_SCRIPT))
    assert started.main.wait(JOB_END_S) == 0
    assert healthy.wait(LEAVE_S) == 0
    assert "done: ui:build" in healthy.log


def test_outputs_over_the_limit_leave_their_task_to_main(stage: Stage) -> None:
    started = start(
        stage,
        [START_CI_RUN, BUILDS],
        agents=2,
        changes={"libs/ui/build.config.json": '{ "binaries": { "big.bin": 900000 } }\n'},
        settings={"NX_DTE_ARTIFACT_MAX_BYTES": "500000"},
    )
    assert started.main.wait(JOB_END_S) == 0
    said = warnings(started.main)
    assert "ui:build's outputs could not be stored" in said
    assert "500000 are allowed" in said
    assert set(codes(started.main).values()) == {0}
    big = started.main.spec.clone.path / "dist/libs/ui/big.bin"
    assert big.stat().st_size == 900_000
    assert (started.main.spec.clone.path / "dist/apps/shop/index.js").exists()
    assert [agent.wait(LEAVE_S) for agent in started.agents] == [0, 0]
    done = "".join(agent.log for agent in started.agents)
    assert "done: docs:build" in done
    assert "shop:build" not in starts_of(started)


def test_outputs_that_are_spoilt_on_their_way_leave_their_task_to_main(stage: Stage) -> None:
    """The coordinator takes none of them, and nobody's task has failed."""
    coordinator = stage.coordinator()
    with TcpProxy([("127.0.0.1", coordinator.port)]) as proxy:
        proxy.spoil_uploads(1000)
        started = start(
            stage,
            [START_CI_RUN, "yarn nx run util:build"],
            agents=1,
            coordinator=coordinator,
            variables={"NX_CLOUD_API": proxy.url},
        )
        assert started.main.wait(JOB_END_S) == 0
        assert started.agents[0].wait(LEAVE_S) == 0
    assert "util:build's outputs could not be stored: the upload has sha256" in warnings(started.main)
    assert codes(started.main) == {"util:build": 0}
    assert (started.main.spec.clone.path / "dist/libs/util/index.js").exists()


@pytest.fixture
def tiny(stage: Stage) -> Iterator[tuple[CoordinatorProcess, SmallDisk]]:
    """A coordinator that has all it keeps on a disk of 24 MiB."""
    folder = stage.folder / "tiny"
    with small_disk(folder / "coordinator", size_mib=24) as disk:
        if disk.command:
            pytest.skip("a disk for a coordinator to share with a test needs root")
        coordinator = CoordinatorProcess(folder=folder, settings=SHORT)
        stage.coordinators.append(coordinator)
        coordinator.start()
        yield coordinator, disk
        coordinator.kill()


def test_a_full_disk_leaves_the_rest_to_main(
    stage: Stage, tiny: tuple[CoordinatorProcess, SmallDisk]
) -> None:
    """Neither outputs nor reports can be kept any more; with space again the next run is as any other."""
    coordinator, disk = tiny
    started = start(
        stage, [START_CI_RUN, TESTS], agents=1, slow_test_s=4, variables=LOST, coordinator=coordinator
    )
    holder(stage, started, "ui:test")
    ballast = disk.fill(disk.folder)

    assert started.main.wait(JOB_END_S) == 0
    assert "space" in warnings(started.main)
    assert set(codes(started.main).values()) == {0}
    assert started.agents[0].wait(LEAVE_S) == 0

    ballast.unlink()
    again = start(stage, [START_CI_RUN, TESTS], agents=1, variables=LOST, coordinator=coordinator)
    assert again.main.wait(JOB_END_S) == 0
    assert warnings(again.main) == ""


def test_a_full_disk_of_an_agent_sends_it_away_and_its_work_elsewhere(stage: Stage) -> None:
    """Before it uses up the attempts of every task; a machine that cannot work is no task's failure."""
    started = start(stage, [START_CI_RUN, TESTS], agents=0, slow_test_s=10)
    with small_disk(stage.folder / "small", size_mib=24) as disk:
        if disk.command:
            pytest.skip("a disk for an agent to share with a test needs root")
        own = {**MIRROR, "TMPDIR": str(disk.folder)}
        full = started.pipeline.start(started.pipeline.prepare("full", recipe.AGENT_SCRIPT, own=own))
        for task_id in ("util:build", "util:test"):  # nothing on its disk that could still make room
            full.wait_for_text(f"done: {task_id}", 60)
        disk.fill(disk.folder)
        assert full.wait(LEAVE_S) == 76
    assert "this machine cannot run tasks" in full.log
    wait_until(lambda: "Agent full left: this machine cannot run" in started.main.log, 30, "main hears why")
    healthy = started.pipeline.start(started.pipeline.prepare("healthy", recipe.AGENT_SCRIPT))
    assert started.main.wait(JOB_END_S) == 0
    assert healthy.wait(LEAVE_S) == 0
    assert set(codes(started.main).values()) == {0}


def test_another_protocol_is_refused_in_words(stage: Stage) -> None:
    """Main's commands: red where they open the run, local where they would distribute. Agents: as any refusal."""
    coordinator = stage.coordinator()
    with TcpProxy([("127.0.0.1", coordinator.port)]) as proxy:
        proxy.replaced = {b"nx-dte-protocol: 1": b"nx-dte-protocol: 9"}
        variables = {**QUICK, **coordinator.variables(), "NX_CLOUD_API": proxy.url}
        pipeline = stage.pipeline(stage.origin(), variables)
        script = [f"{START_CI_RUN} || echo refused with $?", "yarn nx run util:lint"]
        main = pipeline.start(pipeline.prepare("nx-dte", script))
        bare = pipeline.start(pipeline.prepare("bare", recipe.AGENT_SCRIPT))
        supervised = pipeline.start(pipeline.prepare("supervised", recipe.AGENT_SCRIPT, own=MIRROR))
        assert main.wait(JOB_END_S) == 0
        assert bare.wait(LEAVE_S) == 1
        assert supervised.wait(LEAVE_S) == 78
    words = "the client speaks protocol 9, this coordinator speaks 1; update the coordinator"
    assert "refused with 1" in main.log
    assert f"start-ci-run: {words}" in main.log
    assert f"WARNING: this command runs here, not on agents: {words}" in main.log
    assert words in bare.log
    assert words in supervised.log


def test_a_value_nobody_can_mean_ends_every_command(stage: Stage) -> None:
    variables = {**QUICK, **stage.coordinator().variables(), "NX_DTE_TASK_TIMEOUT": "10m"}
    pipeline = stage.pipeline(stage.origin(), variables)
    commands = (
        START_CI_RUN,
        *recipe.AGENT_SCRIPT,
        f"{MIRRORED} {recipe.AGENT_SCRIPT[0]}",
        "yarn nx run util:lint",
    )
    job = pipeline.start(
        pipeline.prepare("nx-dte", [f"{command} || echo ended with $?" for command in commands])
    )
    assert job.wait(JOB_END_S) == 0
    endings = [line.text[-2:].strip() for line in job.lines if line.text.startswith("ended with")]
    assert endings == ["1", "1", "78", "1"]
    assert job.log.count('NX_DTE_TASK_TIMEOUT="10m" is not a number of seconds') == len(commands)

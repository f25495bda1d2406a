"""PostgreSQL instead of the embedded database: several coordinators serve one run, and each of them may go."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from nx_dte.demo.coordinator import CoordinatorProcess
from tests.support.nx_results import RUN_FILE, read_results
from tests.support.processes import wait_until
from tests.support.stage import JOB_END_S, QUICK, START_CI_RUN, affected
from tests.support.tcp_proxy import TcpProxy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nx_dte.demo.jobs import Job
    from nx_dte.demo.pipeline import Pipeline
    from nx_dte.demo.workspace import Origin
    from tests.support.postgres import PostgresServer
    from tests.support.stage import Stage

pytestmark = [pytest.mark.needs_postgresql, pytest.mark.timeout(300)]
COMMAND = affected("lint,test,build", "--parallel=2")
LEAVE_S = 60.0


def an_origin(stage: Stage) -> Origin:
    """The example, with a test that takes long enough for something to happen meanwhile."""
    return stage.origin({"libs/ui/faults.json": json.dumps({"test": {"seconds": 8}}) + "\n"})


def a_coordinator(
    stage: Stage, name: str, settings: Mapping[str, str], like: CoordinatorProcess | None = None
) -> CoordinatorProcess:
    """A running coordinator; of replicas each knows the tokens of the first."""
    folder = stage.folder / name
    if like is None:
        made = CoordinatorProcess(folder=folder, settings=settings)
    else:
        made = CoordinatorProcess(
            folder=folder,
            settings=settings,
            read_write_token=like.read_write_token,
            read_only_token=like.read_only_token,
        )
    stage.coordinators.append(made)
    made.start()
    return made


def start_jobs(stage: Stage, origin: Origin, variables: Mapping[str, str]) -> tuple[Pipeline, Job, list[Job]]:
    pipeline = stage.pipeline(origin, {**QUICK, **variables})
    specs = pipeline.prepare_agents(2)
    main_spec = pipeline.prepare("nx-dte", [START_CI_RUN, COMMAND])
    agents = [pipeline.start(spec) for spec in specs]
    return pipeline, pipeline.start(main_spec), agents


def until_it_runs(stage: Stage, coordinator: CoordinatorProcess, pipeline: Pipeline, task_id: str) -> None:
    """Until an agent works on the task."""
    api = stage.api(coordinator)

    def is_leased() -> bool:
        ci_run = api.ci_run(str(pipeline.pipeline_id))
        if ci_run is None:
            return False
        tasks = api.get(f"/api/v1/ci-runs/{ci_run['ci_run_id']}/tasks")["tasks"]
        return any(task["task_id"] == task_id and task["state"] == "leased" for task in tasks)

    wait_until(is_leased, 60, f"an agent runs {task_id}")


def check_end(stage: Stage, origin: Origin, main: Job, agents: list[Job]) -> None:
    """It ends as plain nx does, and everybody goes home."""
    assert main.wait(JOB_END_S) == 0
    assert [agent.wait(LEAVE_S) for agent in agents] == [0, 0]
    plain = stage.plain(origin, [COMMAND])
    expected = read_results(plain.spec.clone.path / RUN_FILE)
    assert len(expected) > 10
    assert read_results(main.spec.clone.path / RUN_FILE) == expected


def test_a_replica_is_killed_in_mid_run(stage: Stage, postgres_url: str) -> None:
    origin = an_origin(stage)
    settings = {
        "NX_DTE_DATABASE_URL": postgres_url,
        "NX_DTE_ARTIFACTS_URL": f"file://{stage.folder / 'artifacts'}",
    }
    one = a_coordinator(stage, "one", settings)
    other = a_coordinator(stage, "other", settings, like=one)
    with TcpProxy([("127.0.0.1", one.port), ("127.0.0.1", other.port)]) as proxy:
        pipeline, main, agents = start_jobs(stage, origin, {**one.variables(), "NX_CLOUD_API": proxy.url})
        until_it_runs(stage, other, pipeline, "ui:test")
        one.kill()
        check_end(stage, origin, main, agents)


def test_the_database_restarts_in_mid_run(stage: Stage, own_postgres: PostgresServer) -> None:
    origin = an_origin(stage)
    url = own_postgres.url(own_postgres.create_database())
    coordinator = a_coordinator(stage, "one", {"NX_DTE_DATABASE_URL": url})
    pipeline, main, agents = start_jobs(stage, origin, coordinator.variables())
    until_it_runs(stage, coordinator, pipeline, "ui:test")

    own_postgres.stop()
    wait_until(
        lambda: "database does not answer" in coordinator.log, 30, "the coordinator says what is wrong"
    )
    own_postgres.start()

    check_end(stage, origin, main, agents)
    assert "Traceback" not in coordinator.log
    assert own_postgres.password not in coordinator.log

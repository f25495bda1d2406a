"""Two coordinators on one PostgreSQL: whoever is asked, the answers are those of one."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
import sqlalchemy as sa

from nx_dte.coordinator import app
from nx_dte.coordinator.store.sql import dialect
from nx_dte.demo.coordinator import CoordinatorProcess
from tests.integration.coordinator.driver import READ_WRITE, Driver, task
from tests.support.tcp_proxy import TcpProxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from tests.integration.coordinator.conftest import Running
    from tests.support.postgres import PostgresServer

pytestmark = [pytest.mark.slow, pytest.mark.needs_postgresql, pytest.mark.timeout(120)]
DATABASES = ["postgresql"]
LIMIT_S = 90
AGENTS = 8


@dataclass(slots=True, kw_only=True)
class Stubborn(Driver):
    """A client that asks again after a lost connection and after 503, as the light client does."""

    retries: int = 0

    async def send(self, method: str, path: str, **kwargs: Any) -> httpx2.Response:
        while True:
            try:
                response = await Driver.send(self, method, path, **kwargs)
            except httpx2.TransportError:
                pass
            else:
                if response.status_code != 503:
                    return response
            self.retries += 1
            await asyncio.sleep(0.1)


@dataclass(slots=True, kw_only=True)
class Work:
    """What happened in a run, as its agents saw it."""

    accepted: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    leases: set[str] = field(default_factory=set)


def graph(seed: int, size: int) -> list[dict[str, Any]]:
    """Tasks that each depend on up to three before them."""
    chance = random.Random(seed)  # noqa: S311 - the same graph each time
    names = [f"p{number}:build" for number in range(size)]
    return [
        task(name, dependencies=chance.sample(names[:place], k=min(place, chance.randrange(4))))
        for place, name in enumerate(names)
    ]


async def be_an_agent(driver: Driver, name: str, work: Work) -> None:
    """Work off whatever comes until told to leave."""
    agent_id = await driver.join(name)
    while True:
        answer = await driver.claim(agent_id, wait_s=2)
        if answer["state"] == "leave":
            return
        for lease in answer["leases"]:
            assert lease["lease_id"] not in work.leases, "a lease was handed out twice"
            work.leases.add(lease["lease_id"])
        await asyncio.gather(*(run_task(driver, agent_id, lease, work) for lease in answer["leases"]))


async def run_task(driver: Driver, agent_id: str, lease: dict[str, Any], work: Work) -> None:
    try:
        artifact_id = await driver.upload(lease["lease_id"], lease["task_id"].encode())
    except AssertionError:
        work.refused["upload"] += 1
        return
    result = await driver.report(agent_id, lease, artifact_id=artifact_id)
    if result["accepted"]:
        work.accepted[lease["task_id"]] += 1
    else:
        work.refused[result["reason"]] += 1


async def until_finished(driver: Driver, run_id: str, invocation_id: str) -> list[dict[str, Any]]:
    """Follow as main does; every event, in its order."""
    seen: list[dict[str, Any]] = []
    async with asyncio.timeout(LIMIT_S):
        while True:
            after = seen[-1]["sequence"] if seen else 0
            news = await driver.events(run_id, after=after, wait_s=2, invocation_id=invocation_id)
            seen += news["events"]
            if not news["events"] and news["invocation"]["state"] != "running":
                assert news["invocation"]["outcome"] == "succeeded"
                return seen


async def whole_run(drivers: list[Driver], ci_id: str, size: int, work: Work) -> None:
    """A main and its agents, each talking to a coordinator of its own choice."""
    mine = [Stubborn(http=driver.http, ci_id=ci_id) for driver in drivers]
    main = mine[0]
    run_id = (await main.open_run())["ci_run_id"]
    agents = [
        asyncio.create_task(be_an_agent(mine[number % len(mine)], f"agent-{number}", work))
        for number in range(AGENTS)
    ]
    invocation_id = await main.submit(run_id, graph(int(ci_id), size))
    events = await until_finished(main, run_id, invocation_id)
    await main.ask("POST", f"/api/v1/ci-runs/{run_id}/complete", json={"reason": "complete-ci-run"})
    async with asyncio.timeout(LIMIT_S):
        await asyncio.gather(*agents)
    finished = Counter(event["task_id"] for event in events if event["kind"] == "task_finished")
    assert finished == Counter(f"p{number}:build" for number in range(size))
    assert {item["outcome"] for item in (await main.tasks(run_id)).values()} == {"succeeded"}


async def until_accepted(works: list[Work], count: int) -> None:
    async with asyncio.timeout(LIMIT_S):
        while sum(work.accepted.total() for work in works) < count:  # noqa: ASYNC110 - a condition with a deadline
            await asyncio.sleep(0.02)


def check_database(url: str) -> None:
    """Nothing is left over, and history has no gap."""
    engine = dialect.open_engine(dialect.parse_url(url), writes=False)
    with engine.connect() as connection:
        live = connection.execute(sa.text("SELECT count(*) FROM leases WHERE state = 'live'")).scalar_one()
        gaps = connection.execute(
            sa.text(
                "SELECT r.ci_run_id FROM ci_runs r JOIN events e USING (ci_run_id)"
                " GROUP BY r.ci_run_id, r.sequence HAVING count(*) <> r.sequence OR max(e.sequence) <> r.sequence"
            )
        ).all()
    engine.dispose()
    assert live == 0
    assert gaps == []


# --------------------------------------------------------------------------------- both in this process
@pytest.fixture
async def both(
    start: Callable[..., AbstractAsyncContextManager[Running]], tmp_path: Path
) -> AsyncIterator[tuple[Running, Running]]:
    shared = f"file://{tmp_path / 'artifacts'}"
    async with (
        start(artifacts_url=shared) as one,
        start(data_dir=tmp_path / "other", artifacts_url=shared) as other,
    ):
        yield one, other


async def test_agents_and_mains_may_talk_to_either(both: tuple[Running, Running], database_url: str) -> None:
    drivers = [running.driver for running in both]
    works = [Work() for _ in range(3)]

    await asyncio.gather(
        *(
            whole_run(drivers[number % 2 :] + drivers[: number % 2], str(number), 30, work)
            for number, work in enumerate(works)
        )
    )

    for work in works:
        assert set(work.accepted.values()) == {1}
        assert len(work.accepted) == 30
        assert not work.refused
    check_database(database_url)


async def test_news_of_the_other_coordinator_arrives_within_two_seconds(
    both: tuple[Running, Running],
) -> None:
    one, other = (running.driver for running in both)
    loop = asyncio.get_running_loop()
    waiting = asyncio.create_task(other.ask_to_join(wait_s=20))
    await asyncio.sleep(0.2)
    began = loop.time()
    run_id = (await one.open_run())["ci_run_id"]
    agent_id = (await waiting)["agent_id"]
    claiming = asyncio.create_task(other.claim(agent_id, wait_s=20))
    await asyncio.sleep(0.2)
    await one.submit(run_id, [task("a:build")])
    (lease,) = (await claiming)["leases"]
    sequence = (await one.run(run_id))["sequence"]
    following = asyncio.create_task(one.events(run_id, after=sequence, wait_s=20, kinds="task_finished"))
    await asyncio.sleep(0.2)
    assert (await other.report(agent_id, lease))["accepted"]
    assert (await following)["events"][0]["task_id"] == "a:build"

    assert (
        loop.time() - began < 18
    )  # three waits of two seconds, on a slow machine; each would have been twenty


@pytest.mark.parametrize("ahead_s", [600, -600])
async def test_machines_whose_clocks_differ_take_nobody_for_lost(
    start: Callable[..., AbstractAsyncContextManager[Running]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ahead_s: float,
) -> None:
    """Whoever one of them has heard of is alive for the other, too."""
    shared = f"file://{tmp_path / 'artifacts'}"
    async with start(artifacts_url=shared) as one:
        monkeypatch.setattr(app, "now", lambda: datetime.now(UTC) + timedelta(seconds=ahead_s))
        async with start(data_dir=tmp_path / "other", artifacts_url=shared) as other:
            run_id = (await one.driver.open_run())["ci_run_id"]
            agent_id = await one.driver.join()
            await one.driver.submit(run_id, [task("a:build"), task("b:build")], parallel=1)
            for coordinator in (one, other):
                (lease,) = (await coordinator.driver.claim(agent_id))["leases"]
                await one.services.engine.reaper.look()
                await other.services.engine.reaper.look()
                assert (await coordinator.driver.report(agent_id, lease))["accepted"]
            run = await other.driver.run(run_id)
            events = (await one.driver.events(run_id))["events"]

    assert (run["state"], [agent["state"] for agent in run["agents"]]) == ("open", ["joined"])
    assert {event["kind"] for event in events} & {"agent_lost", "task_requeued", "ci_run_abandoned"} == set()
    times = [event["at"] for event in events]
    assert times == sorted(times), "the events of one run are told by one clock"


async def test_an_artifact_taken_in_by_one_is_given_out_by_the_other(both: tuple[Running, Running]) -> None:
    one, other = (running.driver for running in both)
    run_id = (await one.open_run())["ci_run_id"]
    agent_id = await other.join()
    await one.submit(run_id, [task("a:build")])
    (lease,) = (await other.claim(agent_id))["leases"]
    artifact_id = await other.upload(lease["lease_id"])

    answers = [await driver.send("GET", f"/api/v1/artifacts/{artifact_id}") for driver in (one, other)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].content == answers[1].content


async def test_a_start_beside_it_leaves_an_upload_under_way_alone(
    start: Callable[..., AbstractAsyncContextManager[Running]], tmp_path: Path
) -> None:
    shared = f"file://{tmp_path / 'artifacts'}"
    async with start(artifacts_url=shared) as one:
        run_id = (await one.driver.open_run())["ci_run_id"]
        agent_id = await one.driver.join()
        await one.driver.submit(run_id, [task("a:build")])
        (lease,) = (await one.driver.claim(agent_id))["leases"]
        may_end = asyncio.Event()
        data, headers = _an_archive()

        async def slowly() -> AsyncIterator[bytes]:
            yield data[:10]
            await may_end.wait()
            yield data[10:]

        path = f"/api/v1/leases/{lease['lease_id']}/artifact"
        uploading = asyncio.create_task(one.driver.ask("PUT", path, content=slowly(), headers=headers))
        await asyncio.sleep(0.2)
        async with start(data_dir=tmp_path / "other", artifacts_url=shared) as other:
            may_end.set()
            artifact_id = (await uploading)["artifact_id"]
            answer = await other.driver.send("GET", f"/api/v1/artifacts/{artifact_id}")

    assert answer.content == data


def _an_archive() -> tuple[bytes, dict[str, str]]:
    from tests.integration.coordinator.driver import digest
    from tests.support.archives import archive_of

    data = archive_of(b"slowly but surely")
    return data, {"nx-dte-digest": digest(data)}


# ------------------------------------------------------------------------------ as processes of their own
@pytest.fixture
def processes(postgres_url: str, tmp_path: Path) -> Iterator[list[CoordinatorProcess]]:
    settings = {
        "NX_DTE_DATABASE_URL": postgres_url,
        "NX_DTE_ARTIFACTS_URL": f"file://{tmp_path / 'artifacts'}",
        "NX_DTE_LEASE_S": "6",
        "NX_DTE_HEARTBEAT_S": "1",
    }
    made = [
        CoordinatorProcess(folder=tmp_path / name, settings=settings, read_write_token=READ_WRITE)
        for name in ("one", "other")
    ]
    for process in made:
        process.start()
    yield made
    for process in made:
        process.kill()


async def test_one_is_killed_and_nothing_is_lost(
    processes: list[CoordinatorProcess], postgres_url: str
) -> None:
    """Its long-polls break off, what it had promised in a lost answer goes back, and the other does the rest."""
    works = [Work(), Work()]
    with TcpProxy([("127.0.0.1", process.port) for process in processes]) as proxy:
        limits = httpx2.Limits(
            max_keepalive_connections=0
        )  # each request is a connection, so each takes its turn
        async with httpx2.AsyncClient(base_url=proxy.url, limits=limits, timeout=30, trust_env=False) as http:
            runs = [
                asyncio.create_task(whole_run([Driver(http=http)], str(number), 60, work))
                for number, work in enumerate(works)
            ]
            await until_accepted(works, 30)
            await asyncio.to_thread(processes[0].kill)
            await asyncio.gather(*runs)

    for work in works:
        assert set(work.accepted.values()) == {1}
        assert (
            len(work.accepted) >= 55
        )  # an accepted report whose answer was lost is asked for again, and accepted
    check_database(postgres_url)


async def test_the_database_restarts_and_nothing_is_lost(
    own_postgres: PostgresServer, tmp_path: Path
) -> None:
    url = own_postgres.url(own_postgres.create_database())
    settings = {"NX_DTE_DATABASE_URL": url}
    work = Work()
    with CoordinatorProcess(
        folder=tmp_path / "one", settings=settings, read_write_token=READ_WRITE
    ) as process:
        async with httpx2.AsyncClient(base_url=process.url, timeout=30, trust_env=False) as http:
            running = asyncio.create_task(whole_run([Driver(http=http)], "7", 60, work))
            await until_accepted([work], 20)
            await asyncio.to_thread(own_postgres.kill)
            await asyncio.sleep(0.5)
            await asyncio.to_thread(own_postgres.start)
            await running
        log = process.log

    assert set(work.accepted.values()) == {1}
    assert "Traceback" not in log
    assert own_postgres.password not in log
    check_database(url)

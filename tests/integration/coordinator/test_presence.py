"""A coordinator's own absence is nobody else's silence; and no absence keeps the dead alive."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from nx_dte.coordinator.engine.acting import Actor
from nx_dte.coordinator.engine.notifier import Notifier
from nx_dte.coordinator.engine.reaper import Reaper
from nx_dte.coordinator.engine.runner import EventRunner
from nx_dte.coordinator.scheduler.context import Limits
from nx_dte.coordinator.store.errors import StoreUnreachableError
from nx_dte.coordinator.store.sql.store import SqlStore
from nx_dte.model.run import CiRunState
from nx_dte.model.task import TaskState
from nx_dte.telemetry import Metrics
from tests.integration.store.rows import AGENT, INVOCATION, LEASE, RUN, filled_and_leased

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nx_dte.coordinator.store.base import Reads, Session

START = datetime(2026, 3, 1, 8, tzinfo=UTC)


@dataclass(slots=True)
class Clocks:
    """Both clocks of a machine, moved by hand."""

    wall: datetime = START
    monotonic_s: float = 50.0

    async def are_right(self) -> None:
        """Nobody sets them but the test."""

    def go_on(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.monotonic_s += seconds


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def store(database_url: str) -> Iterator[SqlStore]:
    made = SqlStore(database_url)
    yield made
    made.close()


def a_reaper(store: Any, clocks: Clocks) -> Reaper:
    metrics = Metrics(version="0", protocol=1)
    runner = EventRunner(
        store=store,
        actor=Actor(notifier=Notifier(), metrics=metrics),
        metrics=metrics,
        limits=Limits(),
        now=lambda: clocks.wall,
        new_id=iter(f"id-{number}" for number in range(1000)).__next__,
    )
    return Reaper(runner, 0.5, lambda: clocks.monotonic_s, set_clock=clocks.are_right)


async def at_work(store: SqlStore, clocks: Clocks) -> Reaper:
    """A reaper beside a task that an agent works on, all of them heard of just now."""
    await store.write(filled_and_leased)

    def heard_of_now(session: Session) -> None:
        session.note_presence(clocks.wall, if_live=False)
        by = clocks.wall - RUN.main_seen_at
        session.move_deadlines(by, clocks.wall, clocks.wall + timedelta(seconds=30))
        session.update_invocation(replace(INVOCATION, live_leases=1))
        session.update_run(replace(RUN, running_invocations=1, main_seen_at=clocks.wall))

    await store.write(heard_of_now)
    reaper = a_reaper(store, clocks)
    await reaper.start_over()
    await work_for(reaper, clocks, 2)
    return reaper


async def work_for(reaper: Reaper, clocks: Clocks, seconds: float) -> None:
    """Round after round, with nothing heard of anybody."""
    for _ in range(int(seconds * 2)):
        clocks.go_on(0.5)
        await reaper.look()


async def lease_state(store: SqlStore) -> str:
    def work(reads: Reads) -> str:
        lease = reads.lease(LEASE.lease_id)
        assert lease is not None
        return lease.state.value

    return await store.read(work)


async def test_a_silent_agent_is_lost_after_its_lease_and_not_before(store: SqlStore, clocks: Clocks) -> None:
    reaper = await at_work(store, clocks)

    await work_for(reaper, clocks, 27)
    assert await lease_state(store) == "live"
    await work_for(reaper, clocks, 2)

    assert await lease_state(store) == "expired"
    task = await store.read(lambda reads: reads.task(INVOCATION.invocation_id, LEASE.task_id))
    assert task is not None
    assert (task.state, task.attempt) == (TaskState.READY, 2)


@pytest.mark.parametrize(
    ("wall_s", "monotonic_s", "left_s"),
    [(600, 600, 28), (600, 0.5, 28), (-3600, 0.5, 28)],
    ids=["the process was stopped", "the machine slept", "the clock was set back"],
)
async def test_an_absence_does_not_count_as_anybodys_silence(
    store: SqlStore, clocks: Clocks, wall_s: float, monotonic_s: float, left_s: float
) -> None:
    reaper = await at_work(store, clocks)

    clocks.wall += timedelta(seconds=wall_s)
    clocks.monotonic_s += monotonic_s
    await reaper.look()
    await reaper.look()
    assert await lease_state(store) == "live"

    await work_for(reaper, clocks, left_s - 3)
    assert await lease_state(store) == "live"
    await work_for(reaper, clocks, 6)
    assert await lease_state(store) == "expired"


async def test_a_coordinator_that_starts_again_and_again_keeps_nobody_alive(
    store: SqlStore, clocks: Clocks
) -> None:
    """It works for three seconds and is gone for ten; the time it was there adds up."""
    await at_work(store, clocks)
    lives = 0

    while await lease_state(store) == "live":
        clocks.go_on(10)
        reaper = a_reaper(store, clocks)
        await reaper.start_over()
        await work_for(reaper, clocks, 3)
        lives += 1
        assert lives < 30

    assert lives >= 9  # thirty seconds of its presence, no less


async def test_a_second_coordinator_renews_nothing_while_the_first_is_at_work(
    store: SqlStore, clocks: Clocks
) -> None:
    first = await at_work(store, clocks)
    await work_for(first, clocks, 20)

    assert await a_reaper(store, clocks).start_over() == timedelta()
    await work_for(first, clocks, 9)

    assert await lease_state(store) == "expired"


async def test_who_was_frozen_leaves_alone_what_another_looked_after(store: SqlStore, clocks: Clocks) -> None:
    first = await at_work(store, clocks)
    frozen = a_reaper(store, clocks)
    await frozen.start_over()
    await work_for(first, clocks, 20)

    await frozen.look()  # it has not looked for 20 s
    await work_for(first, clocks, 9)

    assert await lease_state(store) == "expired"


async def test_nobody_is_late_because_the_database_was_away(store: SqlStore, clocks: Clocks) -> None:
    """No heartbeat could be taken down meanwhile."""
    await at_work(store, clocks)
    unsteady = Unsteady(store)
    reaper = a_reaper(unsteady, clocks)
    await reaper.start_over()

    unsteady.is_away = True
    for _ in range(120):
        clocks.go_on(0.5)
        with pytest.raises(StoreUnreachableError):
            await reaper.look()
    unsteady.is_away = False
    clocks.go_on(0.5)
    await reaper.look()
    await reaper.look()

    assert await lease_state(store) == "live"


async def test_what_is_decided_in_a_round_is_decided_at_its_beginning(
    store: SqlStore, clocks: Clocks
) -> None:
    """Frozen in the midst of a round, a reaper blames nobody for the time that went by since."""
    await at_work(store, clocks)
    unsteady = Unsteady(store)
    reaper = a_reaper(unsteady, clocks)
    clocks.go_on(31)

    async def heard_of_at_last() -> None:
        unsteady.before_write = None
        now = clocks.wall
        fresh = now + timedelta(seconds=30)
        await store.write(lambda session: session.move_deadlines(timedelta(days=1), now, fresh))
        clocks.go_on(600)

    unsteady.before_write = heard_of_at_last
    await reaper.reap(clocks.wall)

    assert unsteady.before_write is None
    assert await lease_state(store) == "live"


async def test_a_deadline_that_cannot_be_acted_on_keeps_no_other_waiting(
    store: SqlStore, clocks: Clocks
) -> None:
    await at_work(store, clocks)
    unsteady = Unsteady(store)
    reaper = a_reaper(unsteady, clocks)
    clocks.go_on(46)
    failed = 0

    async def fails_once() -> None:
        nonlocal failed
        failed += 1
        unsteady.before_write = None
        raise RuntimeError("an agent that nobody foresaw")

    unsteady.before_write = fails_once
    await reaper.reap(clocks.wall)

    run = await store.read(lambda reads: reads.run(RUN.ci_run_id))
    assert failed == 1
    assert run is not None
    assert run.state is CiRunState.ABANDONED, "its main was silent, too"


async def test_an_idle_coordinator_writes_nothing(store: SqlStore, clocks: Clocks) -> None:
    reaper = a_reaper(store, clocks)
    await reaper.start_over()
    noted = await store.write(lambda session: session.lock_presence())

    await work_for(reaper, clocks, 10)

    assert await store.write(lambda session: session.lock_presence()) == noted


async def test_nothing_gets_more_than_a_fresh_deadline(store: SqlStore, clocks: Clocks) -> None:
    await at_work(store, clocks)

    clocks.go_on(1)
    by = timedelta(days=365)
    fresh = clocks.wall + timedelta(seconds=30)
    moved = await store.write(lambda session: session.move_deadlines(by, clocks.wall, fresh))

    agent = await store.read(lambda reads: reads.agent(AGENT.agent_id))
    lease = await store.read(lambda reads: reads.lease(LEASE.lease_id))
    run = await store.read(lambda reads: reads.run(RUN.ci_run_id))
    assert agent is not None
    assert lease is not None
    assert run is not None
    assert moved == 3
    assert (run.main_seen_at, agent.seen_at, lease.expires_at) == (clocks.wall, clocks.wall, fresh)


@dataclass(slots=True)
class Unsteady:
    """A store that can go away, or take its time."""

    store: SqlStore
    is_away: bool = False
    before_write: Any = None

    async def read(self, work: Any) -> Any:
        if self.is_away:
            raise StoreUnreachableError
        return await self.store.read(work)

    async def write(self, work: Any) -> Any:
        if self.is_away:
            raise StoreUnreachableError
        if self.before_write is not None:
            await self.before_write()
        return await self.store.write(work)

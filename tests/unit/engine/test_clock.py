"""One clock for all coordinators of a database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from nx_dte.coordinator.engine.clock import Clock

if TYPE_CHECKING:
    from nx_dte.coordinator.store.base import Store

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@dataclass(slots=True, kw_only=True)
class Machine:
    """A machine whose wall clock anybody may set, and a database on a server with a clock of its own."""

    wall: datetime = NOON
    monotonic_s: float = 1000.0
    server: datetime | None = NOON + timedelta(seconds=45)
    answer_takes_s: float = 0.0

    def go_on(self, seconds: float) -> None:
        self.wall += timedelta(seconds=seconds)
        self.monotonic_s += seconds
        if self.server is not None:
            self.server += timedelta(seconds=seconds)

    async def read(self, work: Any) -> Any:
        self.go_on(self.answer_takes_s / 2)
        told = work(self)
        self.go_on(self.answer_takes_s / 2)
        return told

    def server_time(self) -> datetime | None:
        return self.server

    @property
    def clock(self) -> Clock:
        return Clock(wall=lambda: self.wall, monotonic=lambda: self.monotonic_s)

    @property
    def store(self) -> Store:
        return cast("Store", self)


async def test_a_database_without_a_server_leaves_the_machines_clock_alone() -> None:
    machine = Machine(server=None)
    clock = machine.clock
    await clock.set_by(machine.store)
    machine.wall += timedelta(hours=1)
    assert clock.now() == NOON + timedelta(hours=1)


async def test_it_goes_by_the_server_whatever_the_machine_says() -> None:
    machine = Machine()
    clock = machine.clock
    await clock.set_by(machine.store)
    machine.go_on(10)
    machine.wall -= timedelta(days=1)
    assert clock.now() == NOON + timedelta(seconds=55)
    await clock.set_by(machine.store)
    assert clock.now() == NOON + timedelta(seconds=55)


async def test_it_follows_a_server_whose_clock_is_set() -> None:
    machine = Machine()
    clock = machine.clock
    await clock.set_by(machine.store)
    assert machine.server is not None
    machine.server += timedelta(minutes=10)
    assert clock.now() == NOON + timedelta(seconds=45)
    await clock.set_by(machine.store)
    assert clock.now() == NOON + timedelta(minutes=10, seconds=45)


async def test_a_slow_answer_does_not_move_a_clock_that_is_right() -> None:
    """Between question and answer nobody knows when the server looked at its clock."""
    machine = Machine()
    clock = machine.clock
    await clock.set_by(machine.store)
    machine.answer_takes_s = 8.0
    assert machine.server is not None
    machine.server += timedelta(seconds=3)  # it may have looked three seconds later than in the middle
    await clock.set_by(machine.store)
    assert clock.now() == NOON + timedelta(seconds=45 + 8)

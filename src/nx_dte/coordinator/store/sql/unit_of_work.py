"""A session that remembers rows and gathers changes, over all works that share one transaction.

Twenty reports of one agent touch the same run, invocation and agent. Here these are read once and written once, and
all tasks, leases and events in a few statements together. It is exact: nobody else writes within a transaction, every
value that a work changes is remembered, and any question that memory cannot answer writes what is gathered first.
"""

# ruff: noqa: D102 - the port in store/base.py documents them
from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from nx_dte.coordinator.store.sql import mapping, reads, task_reads
from nx_dte.coordinator.store.sql.retention_writes import RetainingSession
from nx_dte.model.ids import AgentId, CiRunId, InvocationId, LeaseId, TaskId, TaskKey

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta

    from sqlalchemy import Connection, Executable, Select

    from nx_dte.model.agent import Agent
    from nx_dte.model.cache_entry import CacheEntry
    from nx_dte.model.duration import DurationKey
    from nx_dte.model.event import Event
    from nx_dte.model.ids import TaskHash, WorkspaceId
    from nx_dte.model.invocation import Invocation
    from nx_dte.model.lease import Lease
    from nx_dte.model.run import CiRun
    from nx_dte.model.task import Task

K = TypeVar("K")
V = TypeVar("V")


class Remembered(Generic[K, V]):
    """Rows by key as they are now, and which of them must still be written."""

    def __init__(self) -> None:
        self.rows: dict[K, V] = {}
        self._changed: dict[K, None] = {}

    def get(self, key: K, load: Callable[[], V | None]) -> V | None:
        """The row, loaded at most once."""
        if key not in self.rows:
            loaded = load()
            if loaded is None:
                return None
            self.rows[key] = loaded
        return self.rows[key]

    def change(self, key: K, value: V) -> None:
        """A row is to be written."""
        self.rows[key] = value
        self._changed[key] = None

    def take_changed(self) -> list[V]:
        """What is to be written now."""
        taken = [self.rows[key] for key in self._changed]
        self._changed.clear()
        return taken


class UnitOfWork(RetainingSession):
    """`Session` for one transaction; call `flush` before the commit."""

    def __init__(self, connection: Connection) -> None:
        self.writes = 0
        self._is_dirty = False
        self._raw = connection
        self._forget()
        super().__init__(connection)

    def _forget(self) -> None:
        self._runs: Remembered[CiRunId, CiRun] = Remembered()
        self._invocations: Remembered[InvocationId, Invocation] = Remembered()
        self._tasks: Remembered[TaskKey, Task] = Remembered()
        self._agents: Remembered[AgentId, Agent] = Remembered()
        self._leases: Remembered[LeaseId, Lease] = Remembered()
        self._new_leases: dict[LeaseId, None] = {}
        self._entries: list[CacheEntry] = []
        self._durations: dict[datetime, list[tuple[WorkspaceId, DurationKey, float]]] = {}
        self._outcomes: dict[datetime, list[tuple[WorkspaceId, TaskHash, bool]]] = {}
        self._events: list[Event] = []

    @property
    def _connection(self) -> Connection:
        """For everything that memory cannot answer: the database, with all that is gathered written."""
        self.flush()
        return self._raw

    @_connection.setter
    def _connection(self, connection: Connection) -> None:
        self._raw = connection

    def _write(self, statement: Executable, rows: Any = None) -> int:
        self.writes += 1
        return super()._write(statement, rows)

    def _note_change(self) -> None:
        self.writes += 1
        self._is_dirty = True

    def flush(self) -> None:
        """Write what is gathered."""
        if not self._is_dirty:
            return
        self._is_dirty = False
        before = self.writes
        for run in self._runs.take_changed():
            super().update_run(run)
        for invocation in self._invocations.take_changed():
            super().update_invocation(invocation)
        super().update_tasks(self._tasks.take_changed())
        for agent in self._agents.take_changed():
            super().update_agent(agent)
        leases = self._leases.take_changed()
        # Those that ended before those that began: a unique index lets a task have one live lease only.
        super().update_leases([lease for lease in leases if lease.lease_id not in self._new_leases])
        super().insert_leases([lease for lease in leases if lease.lease_id in self._new_leases])
        self._new_leases.clear()
        entries, self._entries = self._entries, []
        super().insert_cache_entries(entries)
        durations, self._durations = self._durations, {}
        for at, learned in durations.items():
            super().learn_durations(learned, at)
        outcomes, self._outcomes = self._outcomes, {}
        for at, ended in outcomes.items():
            super().learn_hash_outcomes(ended, at)
        events, self._events = self._events, []
        super().append_events(events)
        self.writes = before  # these were counted when they were gathered

    # --------------------------------------------------------------------------------- from memory
    def _peek(self, mapper: mapping.Mapper[V], statement: Select[Any], **parameters: Any) -> V | None:
        """One row, without writing what is gathered: of this key nothing can be."""
        row = self._raw.execute(statement, parameters).first()
        return None if row is None else mapper.read(row)

    def lock_run(self, ci_run_id: CiRunId) -> CiRun | None:
        return self._runs.get(ci_run_id, lambda: super(UnitOfWork, self).lock_run(ci_run_id))

    def lock_newest_run(self, workspace_id: WorkspaceId, ci_id: str, environment: str) -> CiRun | None:
        return self._locked(super().lock_newest_run(workspace_id, ci_id, environment))

    def lock_run_of_agent(self, agent_id: AgentId) -> CiRun | None:
        known = self._agents.rows.get(agent_id)
        return self.lock_run(known.ci_run_id) if known else self._locked(super().lock_run_of_agent(agent_id))

    def lock_run_of_invocation(self, invocation_id: InvocationId) -> CiRun | None:
        return self._locked(super().lock_run_of_invocation(invocation_id))

    def lock_run_of_lease(self, lease_id: LeaseId) -> CiRun | None:
        return self._locked(super().lock_run_of_lease(lease_id))

    def _locked(self, run: CiRun | None) -> CiRun | None:
        return None if run is None else self._runs.get(run.ci_run_id, lambda: run)

    def invocation(self, invocation_id: InvocationId) -> Invocation | None:
        return self._invocations.get(
            invocation_id,
            lambda: self._peek(mapping.INVOCATION, reads.INVOCATION, invocation_id=invocation_id),
        )

    def agent(self, agent_id: AgentId) -> Agent | None:
        return self._agents.get(agent_id, lambda: self._peek(mapping.AGENT, reads.AGENT, agent_id=agent_id))

    def lease(self, lease_id: LeaseId) -> Lease | None:
        return self._leases.get(lease_id, lambda: self._peek(mapping.LEASE, reads.LEASE, lease_id=lease_id))

    def task(self, invocation_id: InvocationId, task_id: TaskId) -> Task | None:
        key = TaskKey(invocation_id, task_id)
        return self._tasks.get(key, lambda: self._peek(mapping.TASK, task_reads.TASK, **key._asdict()))

    def dependents(self, invocation_id: InvocationId, task_id: TaskId) -> tuple[Task, ...]:
        # Who depends on whom never changes, so rows from the database can be overlaid with those in memory.
        rows = self._raw.execute(task_reads.DEPENDENTS, {"invocation_id": invocation_id, "task_id": task_id})
        found = map(mapping.TASK.read, rows)
        return tuple(self._tasks.rows.setdefault(task.key, task) for task in found)

    # ---------------------------------------------------------------------------------- gathering
    def insert_run(self, run: CiRun) -> None:
        super().insert_run(run)
        self._runs.rows[run.ci_run_id] = run

    def update_run(self, run: CiRun) -> None:
        self._note_change()
        self._runs.change(run.ci_run_id, run)

    def update_invocation(self, invocation: Invocation) -> None:
        self._note_change()
        self._invocations.change(invocation.invocation_id, invocation)

    def update_tasks(self, tasks: Sequence[Task]) -> None:
        self._note_change()
        for task in tasks:
            self._tasks.change(task.key, task)

    def update_agent(self, agent: Agent) -> None:
        self._note_change()
        self._agents.change(agent.agent_id, agent)

    def insert_leases(self, leases: Sequence[Lease]) -> None:
        self._note_change()
        for lease in leases:
            self._leases.change(lease.lease_id, lease)
            self._new_leases[lease.lease_id] = None

    def update_leases(self, leases: Sequence[Lease]) -> None:
        self._note_change()
        for lease in leases:
            self._leases.change(lease.lease_id, lease)

    def insert_cache_entries(self, entries: Sequence[CacheEntry]) -> None:
        self._note_change()
        self._entries += entries

    def learn_durations(
        self, learned: Sequence[tuple[WorkspaceId, DurationKey, float]], at: datetime
    ) -> None:
        self._note_change()
        self._durations.setdefault(at, []).extend(learned)

    def learn_hash_outcomes(
        self, learned: Sequence[tuple[WorkspaceId, TaskHash, bool]], at: datetime
    ) -> None:
        self._note_change()
        self._outcomes.setdefault(at, []).extend(learned)

    def append_events(self, events: Sequence[Event]) -> None:
        self._note_change()
        self._events += events

    def delete_part_of_run(self, ci_run_id: CiRunId, limit: int) -> int:
        deleted = super().delete_part_of_run(ci_run_id, limit)
        self._forget()  # it deletes rows behind memory's back
        return deleted

    def move_deadlines(self, by: timedelta, now: datetime, lease_expires_at: datetime) -> int:
        self.writes += 1
        changed = super().move_deadlines(by, now, lease_expires_at)
        self._forget()  # it changes many rows behind memory's back
        return changed

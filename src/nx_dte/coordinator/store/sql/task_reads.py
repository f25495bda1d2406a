"""The named questions about tasks, and how any question is asked."""
# ruff: noqa: D102 - the port in store/base.py documents them

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import bindparam, exists, func, select

from nx_dte.coordinator.store.sql import mapping, tables
from nx_dte.model.duration import DurationKey, Durations
from nx_dte.model.ids import TaskKey

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sqlalchemy import Connection, Select

    from nx_dte.model.ids import AgentId, CiRunId, InvocationId, TaskId, WorkspaceId
    from nx_dte.model.task import Task

T = TypeVar("T")
_TASKS, _EDGES, _DURATIONS = tables.tasks.c, tables.task_dependencies.c, tables.task_durations.c
_INVOCATION = _TASKS.invocation_id == bindparam("invocation_id")


def pick(mapper: mapping.Mapper[Any]) -> Select[Any]:
    """SELECT all columns that the mapper reads, in its order."""
    return select(*mapper.columns)


TASK = pick(mapping.TASK).where(_INVOCATION, _TASKS.task_id == bindparam("task_id"))
TASKS_OF_RUN = (
    pick(mapping.TASK)
    .where(_TASKS.ci_run_id == bindparam("ci_run_id"))
    .order_by(_TASKS.invocation_id, _TASKS.task_id)
)
UNFINISHED = pick(mapping.TASK).where(_INVOCATION, _TASKS.state != "finished").order_by(_TASKS.task_id)
WAITING = (
    pick(mapping.TASK).where(_INVOCATION, _TASKS.state.in_(["blocked", "ready"])).order_by(_TASKS.task_id)
)
READY = (
    pick(mapping.TASK)
    .where(_INVOCATION, tables.READY, _TASKS.runs_alone == bindparam("runs_alone"))
    .order_by(_TASKS.priority_s.desc(), _TASKS.task_id)
    .limit(bindparam("how_many"))
)
HAS_READY = select(
    exists()
    .where(tables.invocations.c.ci_run_id == bindparam("ci_run_id"), tables.invocations.c.state == "running")
    .where(tables.invocations.c.has_bailed.is_(False))
    .where(_TASKS.invocation_id == tables.invocations.c.invocation_id, tables.READY)
)
_EDGE_TO_TASK = (_EDGES.invocation_id == _TASKS.invocation_id) & (_EDGES.task_id == _TASKS.task_id)
DEPENDENTS = (
    pick(mapping.TASK)
    .join(tables.task_dependencies, _EDGE_TO_TASK)
    .where(_EDGES.invocation_id == bindparam("invocation_id"), _EDGES.dependency_id == bindparam("task_id"))
    .order_by(_TASKS.task_id)
)


def _closure() -> Select[Any]:
    """Everything that depends on a task, directly or not; UNION (not ALL) visits each task once."""
    reached = (
        select(_EDGES.task_id)
        .where(
            _EDGES.invocation_id == bindparam("invocation_id"), _EDGES.dependency_id == bindparam("task_id")
        )
        .cte("reached", recursive=True)
    )
    further = (
        select(_EDGES.task_id)
        .join(reached, _EDGES.dependency_id == reached.c.task_id)
        .where(_EDGES.invocation_id == bindparam("invocation_id"))
    )
    reached = reached.union(further)
    return (
        pick(mapping.TASK)
        .join(reached, reached.c.task_id == _TASKS.task_id)
        .where(_INVOCATION, _TASKS.state != "finished")
        .order_by(_TASKS.task_id)
    )


UNFINISHED_CLOSURE = _closure()
HELD_BYTES = (
    select(_EDGES.task_id, func.sum(_TASKS.artifact_size))
    .join(
        tables.tasks,
        (_TASKS.invocation_id == _EDGES.invocation_id) & (_TASKS.task_id == _EDGES.dependency_id),
    )
    .where(
        _EDGES.invocation_id == bindparam("invocation_id"),
        _EDGES.task_id.in_(bindparam("task_ids", expanding=True)),
        _TASKS.agent_id == bindparam("agent_id"),
        _TASKS.artifact_size.is_not(None),
    )
    .group_by(_EDGES.task_id)
)
DURATIONS = select(
    _DURATIONS.project, _DURATIONS.target, _DURATIONS.configuration, _DURATIONS.duration_s
).where(
    _DURATIONS.workspace_id == bindparam("workspace_id"),
    _DURATIONS.target.in_(bindparam("targets", expanding=True)),
)


class TaskReads:
    """The part of `Reads` that is about tasks."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def _one(self, mapper: mapping.Mapper[T], statement: Select[Any], **parameters: Any) -> T | None:
        row = self._connection.execute(statement, parameters).first()
        return None if row is None else mapper.read(row)

    def _all(self, mapper: mapping.Mapper[T], statement: Select[Any], **parameters: Any) -> tuple[T, ...]:
        return tuple(map(mapper.read, self._connection.execute(statement, parameters)))

    def task(self, invocation_id: InvocationId, task_id: TaskId) -> Task | None:
        return self._one(mapping.TASK, TASK, invocation_id=invocation_id, task_id=task_id)

    def tasks_of_run(self, ci_run_id: CiRunId) -> tuple[Task, ...]:
        return self._all(mapping.TASK, TASKS_OF_RUN, ci_run_id=ci_run_id)

    def unfinished_tasks(self, invocation_id: InvocationId) -> tuple[Task, ...]:
        return self._all(mapping.TASK, UNFINISHED, invocation_id=invocation_id)

    def waiting_tasks(self, invocation_id: InvocationId) -> tuple[Task, ...]:
        return self._all(mapping.TASK, WAITING, invocation_id=invocation_id)

    def ready_tasks(self, invocation_id: InvocationId, *, runs_alone: bool, limit: int) -> tuple[Task, ...]:
        return self._all(
            mapping.TASK, READY, invocation_id=invocation_id, runs_alone=runs_alone, how_many=limit
        )

    def has_ready_task(self, ci_run_id: CiRunId) -> bool:
        return bool(self._connection.execute(HAS_READY, {"ci_run_id": ci_run_id}).scalar_one())

    def dependents(self, invocation_id: InvocationId, task_id: TaskId) -> tuple[Task, ...]:
        return self._all(mapping.TASK, DEPENDENTS, invocation_id=invocation_id, task_id=task_id)

    def unfinished_closure(self, invocation_id: InvocationId, task_id: TaskId) -> tuple[Task, ...]:
        return self._all(mapping.TASK, UNFINISHED_CLOSURE, invocation_id=invocation_id, task_id=task_id)

    def held_bytes(
        self, invocation_id: InvocationId, task_ids: Collection[TaskId], agent_id: AgentId
    ) -> Mapping[TaskKey, int]:
        if not task_ids:
            return {}
        parameters = {"invocation_id": invocation_id, "task_ids": list(task_ids), "agent_id": agent_id}
        rows = self._connection.execute(HELD_BYTES, parameters)
        return {TaskKey(invocation_id, task_id): int(size) for task_id, size in rows}

    def durations(self, workspace_id: WorkspaceId, targets: Collection[str]) -> Durations:
        if not targets:
            return Durations()
        parameters = {"workspace_id": workspace_id, "targets": sorted(set(targets))}
        exact: dict[DurationKey, float] = {}
        by_target: dict[str, list[float]] = {}
        for project, target, configuration, seconds in self._connection.execute(DURATIONS, parameters):
            exact[DurationKey(project, target, configuration or None)] = seconds
            by_target.setdefault(target, []).append(seconds)
        return Durations(
            exact_s=exact, target_median_s={target: median(values) for target, values in by_target.items()}
        )

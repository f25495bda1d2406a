"""Rows from model values and model values from rows."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from nx_dte.coordinator.store.sql import tables
from nx_dte.model.access import Token, TokenAccess
from nx_dte.model.agent import Agent, AgentState, LeftReason
from nx_dte.model.artifact import Artifact
from nx_dte.model.cache_entry import CacheEntry, CacheScope
from nx_dte.model.event import Event, EventKind
from nx_dte.model.invocation import CancelReason, Invocation, InvocationState
from nx_dte.model.lease import Lease, LeaseState
from nx_dte.model.record import Record
from nx_dte.model.run import CiRun, CiRunState, MainJob, RunOutcome, RunReason
from nx_dte.model.task import ArtifactRef, FailureReason, Task, TaskOutcome, TaskResult, TaskState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Column, Table

T = TypeVar("T")
Values = dict[str, Any]


class Mapper(Generic[T]):
    """Between one dataclass and one table whose columns bear the names of its fields."""

    def __init__(
        self,
        kind: type[T],
        table: Table,
        *,
        readers: Mapping[str, Callable[[Any], Any]] | None = None,
        pack: Callable[[Values], None] | None = None,
        unpack: Callable[[Values], None] | None = None,
    ) -> None:
        self._kind = kind
        self._names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
        self._pack = pack
        self._unpack = unpack
        self.columns: list[Column[Any]] = list(table.c)
        self._readers = [(column.name, (readers or {}).get(column.name)) for column in self.columns]

    def read(self, row: Sequence[Any]) -> T:
        """The value of a row that holds all columns, in their order."""
        values = {
            name: value if value is None or reader is None else reader(value)
            for (name, reader), value in zip(self._readers, row, strict=True)
        }
        if self._unpack is not None:
            self._unpack(values)
        return self._kind(**values)

    def write(self, value: T) -> Values:
        """The row of a value."""
        row = {name: getattr(value, name) for name in self._names}
        if self._pack is not None:
            self._pack(row)
        return row


def _pack_artifact(row: Values) -> None:
    artifact = row.pop("artifact")
    row["artifact_id"] = None if artifact is None else artifact.artifact_id
    row["artifact_size"] = None if artifact is None else artifact.size


def _unpack_artifact(values: Values) -> None:
    artifact_id, size = values.pop("artifact_id"), values.pop("artifact_size")
    values["artifact"] = None if artifact_id is None else ArtifactRef(artifact_id=artifact_id, size=size)


def _pack_result(row: Values) -> None:
    result = row["result"]
    if result is None:
        return
    packed = {field.name: getattr(result, field.name) for field in fields(result)}
    if result.artifact is not None:
        packed["artifact"] = [result.artifact.artifact_id, result.artifact.size]
    for name in ("started_at", "ended_at"):
        packed[name] = None if packed[name] is None else packed[name].isoformat()
    row["result"] = packed


def _read_result(packed: Values) -> TaskResult:
    artifact = packed["artifact"]
    values = {
        **packed,
        "outcome": TaskOutcome(packed["outcome"]),
        "outputs": tuple(packed["outputs"]),
        "artifact": None if artifact is None else ArtifactRef(artifact_id=artifact[0], size=artifact[1]),
    }
    for name in ("started_at", "ended_at"):
        values[name] = None if packed[name] is None else datetime.fromisoformat(packed[name])
    return TaskResult(**values)


TOKEN = Mapper(Token, tables.tokens, readers={"access": TokenAccess})
CI_RUN = Mapper(
    CiRun,
    tables.ci_runs,
    readers={
        "token_access": TokenAccess,
        "state": CiRunState,
        "outcome": RunOutcome,
        "reason": RunReason,
        "stop_agents_after": tuple,
        "stop_targets_finished": tuple,
    },
)
MAIN_JOB = Mapper(MainJob, tables.ci_run_jobs)
INVOCATION = Mapper(
    Invocation,
    tables.invocations,
    readers={
        "targets": tuple,
        "state": InvocationState,
        "outcome": RunOutcome,
        "cancel_reason": CancelReason,
    },
)
TASK = Mapper(
    Task,
    tables.tasks,
    readers={
        "outputs": tuple,
        "dependencies": tuple,
        "state": TaskState,
        "outcome": TaskOutcome,
        "reason": FailureReason,
    },
    pack=_pack_artifact,
    unpack=_unpack_artifact,
)
AGENT = Mapper(Agent, tables.agents, readers={"state": AgentState, "left_reason": LeftReason})
LEASE = Mapper(Lease, tables.leases, readers={"state": LeaseState})
RECORD = Mapper(Record, tables.records)
ARTIFACT = Mapper(Artifact, tables.artifacts)
CACHE_ENTRY = Mapper(CacheEntry, tables.cache_entries, readers={"scope": CacheScope})
EVENT = Mapper(Event, tables.events, readers={"kind": EventKind, "result": _read_result}, pack=_pack_result)

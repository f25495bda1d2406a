"""The named questions about runs, invocations, agents, leases, artifacts and history."""
# ruff: noqa: D102 - the port in store/base.py documents them

from __future__ import annotations

import zlib
from datetime import UTC
from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, exists, func, or_, select

from nx_dte.coordinator.store.sql import mapping, tables
from nx_dte.coordinator.store.sql.counting import state_counts
from nx_dte.coordinator.store.sql.retention_reads import RetentionReads
from nx_dte.coordinator.store.sql.task_reads import pick
from nx_dte.coordinator.store.sql.types import UtcTime

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from nx_dte.coordinator.store.base import StateCounts
    from nx_dte.model.access import Token, TokenAccess
    from nx_dte.model.agent import Agent
    from nx_dte.model.artifact import Artifact
    from nx_dte.model.cache_entry import CacheEntry
    from nx_dte.model.event import Event
    from nx_dte.model.ids import (
        AgentId,
        ArtifactId,
        CiRunId,
        InvocationId,
        JobId,
        LeaseId,
        TaskHash,
        TaskId,
        WorkspaceId,
    )
    from nx_dte.model.invocation import Invocation
    from nx_dte.model.lease import Lease
    from nx_dte.model.record import Record
    from nx_dte.model.run import CiRun, MainJob

_RUNS, _JOBS, _AGENTS, _LEASES = tables.ci_runs.c, tables.ci_run_jobs.c, tables.agents.c, tables.leases.c
_INVOCATIONS, _EVENTS, _CACHE = tables.invocations.c, tables.events.c, tables.cache_entries.c

SERVER_TIME = select(func.clock_timestamp())
RUN = pick(mapping.CI_RUN).where(_RUNS.ci_run_id == bindparam("ci_run_id"))
NEWEST_RUN = (
    pick(mapping.CI_RUN)
    .where(
        _RUNS.workspace_id == bindparam("workspace_id"),
        _RUNS.ci_id == bindparam("ci_id"),
        _RUNS.environment == bindparam("environment"),
    )
    .order_by(_RUNS.attempt.desc())
    .limit(1)
)
JOB_SEEN = select(
    exists()
    .where(_JOBS.ci_run_id == _RUNS.ci_run_id, _JOBS.job_id == bindparam("job_id"))
    .where(
        _RUNS.workspace_id == bindparam("workspace_id"),
        _RUNS.ci_id == bindparam("ci_id"),
        _RUNS.environment == bindparam("environment"),
        _RUNS.token_access == bindparam("token_access"),
    )
)
MAIN_JOBS = (
    pick(mapping.MAIN_JOB)
    .where(_JOBS.ci_run_id == bindparam("ci_run_id"))
    .order_by(_JOBS.joined_at, _JOBS.job_id)
)
RECORD_BY_KEY = pick(mapping.RECORD).where(
    tables.records.c.ci_run_id == bindparam("ci_run_id"),
    tables.records.c.record_key == bindparam("record_key"),
)
INVOCATION = pick(mapping.INVOCATION).where(_INVOCATIONS.invocation_id == bindparam("invocation_id"))
INVOCATION_BY_KEY = pick(mapping.INVOCATION).where(
    _INVOCATIONS.ci_run_id == bindparam("ci_run_id"),
    _INVOCATIONS.invocation_key == bindparam("invocation_key"),
)
INVOCATIONS = (
    pick(mapping.INVOCATION)
    .where(_INVOCATIONS.ci_run_id == bindparam("ci_run_id"))
    .order_by(_INVOCATIONS.created_at, _INVOCATIONS.invocation_id)
)
RUNNING_INVOCATIONS = INVOCATIONS.where(_INVOCATIONS.state == "running")
PAYLOAD = select(tables.invocation_payloads.c.payload).where(
    tables.invocation_payloads.c.invocation_id == bindparam("invocation_id")
)
AGENT = pick(mapping.AGENT).where(_AGENTS.agent_id == bindparam("agent_id"))
AGENT_BY_KEY = pick(mapping.AGENT).where(
    _AGENTS.ci_run_id == bindparam("ci_run_id"), _AGENTS.agent_key == bindparam("agent_key")
)
AGENTS = (
    pick(mapping.AGENT)
    .where(_AGENTS.ci_run_id == bindparam("ci_run_id"))
    .order_by(_AGENTS.joined_at, _AGENTS.agent_id)
)
LEASE = pick(mapping.LEASE).where(_LEASES.lease_id == bindparam("lease_id"))
LIVE_LEASES_OF_AGENT = (
    pick(mapping.LEASE)
    .where(_LEASES.agent_id == bindparam("agent_id"), tables.LIVE_LEASE)
    .order_by(_LEASES.lease_id)
)
LIVE_LEASES_OF_INVOCATION = (
    pick(mapping.LEASE)
    .where(_LEASES.invocation_id == bindparam("invocation_id"), tables.LIVE_LEASE)
    .order_by(_LEASES.lease_id)
)
ARTIFACTS = pick(mapping.ARTIFACT).where(
    tables.artifacts.c.workspace_id == bindparam("workspace_id"),
    tables.artifacts.c.artifact_id.in_(bindparam("artifact_ids", expanding=True)),
)
CACHE_ENTRIES = (
    pick(mapping.CACHE_ENTRY)
    .where(
        _CACHE.workspace_id == bindparam("workspace_id"),
        _CACHE.task_hash.in_(bindparam("hashes", expanding=True)),
        or_(_CACHE.scope == "shared", _CACHE.scope_id == bindparam("ci_run_id")),
    )
    .order_by(_CACHE.scope)  # 'run' before 'shared': the later one wins below
)
STORY = (
    pick(mapping.EVENT)
    .where(_EVENTS.invocation_id == bindparam("invocation_id"), _EVENTS.task_id == bindparam("task_id"))
    .order_by(_EVENTS.sequence)
)
LIVE_RUNS = pick(mapping.CI_RUN).where(tables.LIVE_RUN).order_by(_RUNS.main_seen_at)
AGENTS_SEEN_BEFORE = pick(mapping.AGENT).where(tables.LIVE_AGENT, _AGENTS.seen_at < bindparam("moment"))
TASKS_TIMED_OUT = pick(mapping.LEASE).where(tables.LIVE_LEASE, _LEASES.times_out_at <= bindparam("moment"))
TASKS_SLOW = pick(mapping.LEASE).where(
    tables.LIVE_LEASE, _LEASES.slow_at <= bindparam("moment"), _LEASES.slow_noted_at.is_(None)
)
AGENTS_AT_WORK = select(_AGENTS.agent_id).where(
    _AGENTS.ci_run_id == bindparam("ci_run_id"),
    _AGENTS.state == "joined",
    or_(
        func.coalesce(_AGENTS.claimed_at, _AGENTS.joined_at) >= bindparam("since", type_=UtcTime()),
        exists().where(_LEASES.agent_id == _AGENTS.agent_id, tables.LIVE_LEASE),
    ),
)
HASH_OUTCOME = select(
    tables.task_hash_outcomes.c.has_succeeded, tables.task_hash_outcomes.c.has_failed
).where(
    tables.task_hash_outcomes.c.workspace_id == bindparam("workspace_id"),
    tables.task_hash_outcomes.c.task_hash == bindparam("task_hash"),
)
LEASES_EXPIRED = pick(mapping.LEASE).where(tables.LIVE_LEASE, _LEASES.expires_at <= bindparam("moment"))
TOKEN_BY_HASH = pick(mapping.TOKEN).where(tables.tokens.c.token_sha256 == bindparam("token_sha256"))
TOKENS = pick(mapping.TOKEN).order_by(tables.tokens.c.created_at, tables.tokens.c.token_id)

IN_CHUNK = 500  # SQLite and PostgreSQL both limit how many values one statement may carry


class SqlReads(RetentionReads):
    """`Reads` on one connection."""

    def run(self, ci_run_id: CiRunId) -> CiRun | None:
        return self._one(mapping.CI_RUN, RUN, ci_run_id=ci_run_id)

    def newest_run(self, workspace_id: WorkspaceId, ci_id: str, environment: str) -> CiRun | None:
        return self._one(
            mapping.CI_RUN, NEWEST_RUN, workspace_id=workspace_id, ci_id=ci_id, environment=environment
        )

    def is_job_seen(
        self, workspace_id: WorkspaceId, ci_id: str, environment: str, job_id: JobId, access: TokenAccess
    ) -> bool:
        key = {"workspace_id": workspace_id, "ci_id": ci_id, "environment": environment, "job_id": job_id}
        key["token_access"] = access.value
        return bool(self._connection.execute(JOB_SEEN, key).scalar_one())

    def main_jobs(self, ci_run_id: CiRunId) -> tuple[MainJob, ...]:
        return self._all(mapping.MAIN_JOB, MAIN_JOBS, ci_run_id=ci_run_id)

    def record_by_key(self, ci_run_id: CiRunId, record_key: str) -> Record | None:
        return self._one(mapping.RECORD, RECORD_BY_KEY, ci_run_id=ci_run_id, record_key=record_key)

    def invocation(self, invocation_id: InvocationId) -> Invocation | None:
        return self._one(mapping.INVOCATION, INVOCATION, invocation_id=invocation_id)

    def invocation_by_key(self, ci_run_id: CiRunId, invocation_key: str) -> Invocation | None:
        return self._one(
            mapping.INVOCATION, INVOCATION_BY_KEY, ci_run_id=ci_run_id, invocation_key=invocation_key
        )

    def invocations(self, ci_run_id: CiRunId, *, running_only: bool = False) -> tuple[Invocation, ...]:
        statement = RUNNING_INVOCATIONS if running_only else INVOCATIONS
        return self._all(mapping.INVOCATION, statement, ci_run_id=ci_run_id)

    def payload(self, invocation_id: InvocationId) -> str | None:
        packed = self._connection.execute(PAYLOAD, {"invocation_id": invocation_id}).scalar_one_or_none()
        return None if packed is None else zlib.decompress(packed).decode()

    def agent(self, agent_id: AgentId) -> Agent | None:
        return self._one(mapping.AGENT, AGENT, agent_id=agent_id)

    def agent_by_key(self, ci_run_id: CiRunId, agent_key: str) -> Agent | None:
        return self._one(mapping.AGENT, AGENT_BY_KEY, ci_run_id=ci_run_id, agent_key=agent_key)

    def agents(self, ci_run_id: CiRunId) -> tuple[Agent, ...]:
        return self._all(mapping.AGENT, AGENTS, ci_run_id=ci_run_id)

    def agents_at_work(self, ci_run_id: CiRunId, since: datetime) -> frozenset[AgentId]:
        found = self._connection.execute(AGENTS_AT_WORK, {"ci_run_id": ci_run_id, "since": since})
        return frozenset(found.scalars())

    def lease(self, lease_id: LeaseId) -> Lease | None:
        return self._one(mapping.LEASE, LEASE, lease_id=lease_id)

    def live_leases_of_agent(self, agent_id: AgentId) -> tuple[Lease, ...]:
        return self._all(mapping.LEASE, LIVE_LEASES_OF_AGENT, agent_id=agent_id)

    def live_leases_of_invocation(self, invocation_id: InvocationId) -> tuple[Lease, ...]:
        return self._all(mapping.LEASE, LIVE_LEASES_OF_INVOCATION, invocation_id=invocation_id)

    def artifact(self, workspace_id: WorkspaceId, artifact_id: ArtifactId) -> Artifact | None:
        return self.artifacts(workspace_id, [artifact_id]).get(artifact_id)

    def artifacts(
        self, workspace_id: WorkspaceId, artifact_ids: Collection[ArtifactId]
    ) -> Mapping[ArtifactId, Artifact]:
        found: dict[ArtifactId, Artifact] = {}
        for chunk in chunks(artifact_ids):
            for artifact in self._all(
                mapping.ARTIFACT, ARTIFACTS, workspace_id=workspace_id, artifact_ids=chunk
            ):
                found[artifact.artifact_id] = artifact
        return found

    def cache_entries(
        self, workspace_id: WorkspaceId, hashes: Collection[TaskHash], ci_run_id: CiRunId | None
    ) -> Mapping[TaskHash, CacheEntry]:
        found: dict[TaskHash, CacheEntry] = {}
        for chunk in chunks(hashes):
            entries = self._all(
                mapping.CACHE_ENTRY,
                CACHE_ENTRIES,
                workspace_id=workspace_id,
                hashes=chunk,
                ci_run_id=ci_run_id,
            )
            for entry in entries:
                found[entry.task_hash] = entry
        return found

    def is_known_flaky(self, workspace_id: WorkspaceId, task_hash: TaskHash) -> bool:
        key = {"workspace_id": workspace_id, "task_hash": task_hash}
        row = self._connection.execute(HASH_OUTCOME, key).first()
        return row is not None and row.has_succeeded and row.has_failed

    def events_after(
        self,
        ci_run_id: CiRunId,
        sequence: int,
        *,
        invocation_id: InvocationId | None,
        kinds: Collection[str],
        limit: int,
    ) -> tuple[Event, ...]:
        statement = pick(mapping.EVENT).where(_EVENTS.ci_run_id == ci_run_id, _EVENTS.sequence > sequence)
        if invocation_id is not None:
            # What belongs to no invocation (agents come and go) concerns each of them.
            statement = statement.where(
                or_(_EVENTS.invocation_id == invocation_id, _EVENTS.invocation_id.is_(None))
            )
        if kinds:
            statement = statement.where(_EVENTS.kind.in_(sorted(kinds)))
        return self._all(mapping.EVENT, statement.order_by(_EVENTS.sequence).limit(limit))

    def story(self, invocation_id: InvocationId, task_id: TaskId) -> tuple[Event, ...]:
        return self._all(mapping.EVENT, STORY, invocation_id=invocation_id, task_id=task_id)

    def live_runs(self) -> tuple[CiRun, ...]:
        return self._all(mapping.CI_RUN, LIVE_RUNS)

    def agents_seen_before(self, moment: datetime) -> tuple[Agent, ...]:
        return self._all(mapping.AGENT, AGENTS_SEEN_BEFORE, moment=moment)

    def server_time(self) -> datetime | None:
        if self._connection.dialect.name != "postgresql":
            return None
        told: datetime = self._connection.execute(SERVER_TIME).scalar_one()
        return told.astimezone(UTC)

    def leases_expired_at(self, moment: datetime) -> tuple[Lease, ...]:
        return self._all(mapping.LEASE, LEASES_EXPIRED, moment=moment)

    def tasks_timed_out_at(self, moment: datetime) -> tuple[Lease, ...]:
        return self._all(mapping.LEASE, TASKS_TIMED_OUT, moment=moment)

    def tasks_slow_at(self, moment: datetime) -> tuple[Lease, ...]:
        return self._all(mapping.LEASE, TASKS_SLOW, moment=moment)

    def counts(self) -> StateCounts:
        return state_counts(self._connection)

    def token_by_hash(self, token_sha256: str) -> Token | None:
        return self._one(mapping.TOKEN, TOKEN_BY_HASH, token_sha256=token_sha256)

    def tokens(self) -> tuple[Token, ...]:
        return self._all(mapping.TOKEN, TOKENS)


def chunks(values: Collection[Any]) -> list[list[Any]]:
    """Split a long list of values for IN."""
    ordered = sorted(set(values))
    return [ordered[start : start + IN_CHUNK] for start in range(0, len(ordered), IN_CHUNK)]

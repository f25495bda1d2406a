"""The port: what engine, API and auth may ask of the database.

A `Session` lives in one transaction. Everything in it is synchronous; the `Store` runs it in a thread of its own.
Methods named `lock_…` also take the CI run's row lock, which keeps the events of one run in order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TypeVar

from nx_dte.coordinator.store.retention import RetentionChanges, RetentionReads

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from datetime import datetime, timedelta

    from nx_dte.model.access import Token, TokenAccess
    from nx_dte.model.agent import Agent
    from nx_dte.model.artifact import Artifact
    from nx_dte.model.cache_entry import CacheEntry
    from nx_dte.model.duration import DurationKey, Durations
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
        TaskKey,
        TokenId,
        WorkspaceId,
    )
    from nx_dte.model.invocation import Invocation
    from nx_dte.model.lease import Lease
    from nx_dte.model.record import Record
    from nx_dte.model.run import CiRun, MainJob
    from nx_dte.model.task import Task

T = TypeVar("T")


class Beside(StrEnum):
    """What agents a CI run with ready tasks has."""

    NONE = "none"
    BUSY = "busy"
    IDLE = "idle"
    """At least one of them holds no lease at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StateCounts:
    """How many of each there are, for the gauges."""

    ci_runs: Mapping[str, int]
    tasks: Mapping[str, int]
    agents: Mapping[str, int]
    oldest_ready: Mapping[Beside, datetime] = field(default_factory=dict)
    """Since when the longest waiting ready task waits, by what agents its CI run has."""
    migrations_pending: int = 0
    artifact_bytes: int = 0
    """Of all artifacts together."""


class Reads(RetentionReads, Protocol):
    """The questions. A value that is not there is None."""

    # ---------------------------------------------------------------------------------------- runs
    def run(self, ci_run_id: CiRunId) -> CiRun | None:
        """A CI run."""
        ...

    def newest_run(self, workspace_id: WorkspaceId, ci_id: str, environment: str) -> CiRun | None:
        """The newest attempt of a key."""
        ...

    def is_job_seen(
        self, workspace_id: WorkspaceId, ci_id: str, environment: str, job_id: JobId, access: TokenAccess
    ) -> bool:
        """Whether the job is known as a main job of any attempt of the key that was opened with such a token."""
        ...

    def main_jobs(self, ci_run_id: CiRunId) -> tuple[MainJob, ...]:
        """A run's main jobs, in the order in which they came."""
        ...

    def record_by_key(self, ci_run_id: CiRunId, record_key: str) -> Record | None:
        """The record with this key."""
        ...

    # --------------------------------------------------------------------------------- invocations
    def invocation(self, invocation_id: InvocationId) -> Invocation | None:
        """An invocation."""
        ...

    def invocation_by_key(self, ci_run_id: CiRunId, invocation_key: str) -> Invocation | None:
        """The invocation with this key."""
        ...

    def invocations(self, ci_run_id: CiRunId, *, running_only: bool = False) -> tuple[Invocation, ...]:
        """A run's invocations, oldest first."""
        ...

    def payload(self, invocation_id: InvocationId) -> str | None:
        """What main submitted for agents."""
        ...

    # --------------------------------------------------------------------------------------- tasks
    def task(self, invocation_id: InvocationId, task_id: TaskId) -> Task | None:
        """A task."""
        ...

    def tasks_of_run(self, ci_run_id: CiRunId) -> tuple[Task, ...]:
        """All tasks of all invocations."""
        ...

    def unfinished_tasks(self, invocation_id: InvocationId) -> tuple[Task, ...]:
        """Blocked, ready and leased ones."""
        ...

    def waiting_tasks(self, invocation_id: InvocationId) -> tuple[Task, ...]:
        """Blocked and ready ones."""
        ...

    def ready_tasks(self, invocation_id: InvocationId, *, runs_alone: bool, limit: int) -> tuple[Task, ...]:
        """The first ready ones, by (priority descending, task id)."""
        ...

    def has_ready_task(self, ci_run_id: CiRunId) -> bool:
        """Whether any invocation has something to hand out."""
        ...

    def dependents(self, invocation_id: InvocationId, task_id: TaskId) -> tuple[Task, ...]:
        """The direct dependents."""
        ...

    def unfinished_closure(self, invocation_id: InvocationId, task_id: TaskId) -> tuple[Task, ...]:
        """All direct and indirect dependents that are not finished."""
        ...

    def held_bytes(
        self, invocation_id: InvocationId, task_ids: Collection[TaskId], agent_id: AgentId
    ) -> Mapping[TaskKey, int]:
        """For each task: the bytes of its direct dependencies' artifacts that the agent made."""
        ...

    def durations(self, workspace_id: WorkspaceId, targets: Collection[str]) -> Durations:
        """What is remembered of all tasks of these targets."""
        ...

    # --------------------------------------------------------------------------- agents and leases
    def agent(self, agent_id: AgentId) -> Agent | None:
        """An agent."""
        ...

    def agent_by_key(self, ci_run_id: CiRunId, agent_key: str) -> Agent | None:
        """The run's agent with this key."""
        ...

    def agents(self, ci_run_id: CiRunId) -> tuple[Agent, ...]:
        """A run's agents, in the order in which they joined."""
        ...

    def agents_at_work(self, ci_run_id: CiRunId, since: datetime) -> frozenset[AgentId]:
        """Joined agents that hold a live lease, or have joined or claimed since then."""
        ...

    def lease(self, lease_id: LeaseId) -> Lease | None:
        """A lease."""
        ...

    def live_leases_of_agent(self, agent_id: AgentId) -> tuple[Lease, ...]:
        """What the agent holds."""
        ...

    def live_leases_of_invocation(self, invocation_id: InvocationId) -> tuple[Lease, ...]:
        """What is being worked on."""
        ...

    # ------------------------------------------------------------------------- artifacts and cache
    def artifact(self, workspace_id: WorkspaceId, artifact_id: ArtifactId) -> Artifact | None:
        """An artifact."""
        ...

    def artifacts(
        self, workspace_id: WorkspaceId, artifact_ids: Collection[ArtifactId]
    ) -> Mapping[ArtifactId, Artifact]:
        """Those of the artifacts that exist."""
        ...

    def cache_entries(
        self, workspace_id: WorkspaceId, hashes: Collection[TaskHash], ci_run_id: CiRunId | None
    ) -> Mapping[TaskHash, CacheEntry]:
        """Entries of scope `shared` and of the run's own; shared ones go first."""
        ...

    def is_known_flaky(self, workspace_id: WorkspaceId, task_hash: TaskHash) -> bool:
        """Whether trusted runs have seen tasks of this hash succeed as well as fail."""
        ...

    # ------------------------------------------------------------------------------------- history
    def events_after(
        self,
        ci_run_id: CiRunId,
        sequence: int,
        *,
        invocation_id: InvocationId | None,
        kinds: Collection[str],
        limit: int,
    ) -> tuple[Event, ...]:
        """The next events, optionally of some kinds, or only those that concern one invocation."""
        ...

    def story(self, invocation_id: InvocationId, task_id: TaskId) -> tuple[Event, ...]:
        """All events of a task."""
        ...

    # ------------------------------------------------------------------------- deadlines and counts
    def live_runs(self) -> tuple[CiRun, ...]:
        """Runs that are not over."""
        ...

    def agents_seen_before(self, moment: datetime) -> tuple[Agent, ...]:
        """Live agents not heard of since."""
        ...

    def server_time(self) -> datetime | None:
        """What time it is where the database is; None if that is this very machine."""
        ...

    def leases_expired_at(self, moment: datetime) -> tuple[Lease, ...]:
        """Live leases whose deadline has passed."""
        ...

    def tasks_timed_out_at(self, moment: datetime) -> tuple[Lease, ...]:
        """Live leases whose task is held for longer than its invocation allows."""
        ...

    def tasks_slow_at(self, moment: datetime) -> tuple[Lease, ...]:
        """Live leases whose task is far slower than expected, which nobody has said yet."""
        ...

    def counts(self) -> StateCounts:
        """How many there are of everything, by state."""
        ...

    # -------------------------------------------------------------------------------------- tokens
    def token_by_hash(self, token_sha256: str) -> Token | None:
        """The token with this hash."""
        ...

    def tokens(self) -> tuple[Token, ...]:
        """All tokens, oldest first."""
        ...


class Session(Reads, RetentionChanges, Protocol):
    """Questions and changes, in one writing transaction."""

    def lock_run(self, ci_run_id: CiRunId) -> CiRun | None:
        """The run, locked."""
        ...

    def lock_newest_run(self, workspace_id: WorkspaceId, ci_id: str, environment: str) -> CiRun | None:
        """The newest attempt of a key, locked."""
        ...

    def lock_run_of_agent(self, agent_id: AgentId) -> CiRun | None:
        """The agent's run, locked."""
        ...

    def lock_run_of_invocation(self, invocation_id: InvocationId) -> CiRun | None:
        """The invocation's run, locked."""
        ...

    def lock_run_of_lease(self, lease_id: LeaseId) -> CiRun | None:
        """The lease's run, locked."""
        ...

    def insert_run(self, run: CiRun) -> None:
        """Add a run, and its workspace if it is new."""
        ...

    def update_run(self, run: CiRun) -> None:
        """Change a run."""
        ...

    def upsert_main_job(self, main_job: MainJob) -> None:
        """Add or change a main job."""
        ...

    def insert_record(self, record: Record) -> None:
        """Add a record."""
        ...

    def insert_invocation(self, invocation: Invocation) -> None:
        """Add an invocation."""
        ...

    def update_invocation(self, invocation: Invocation) -> None:
        """Change an invocation."""
        ...

    def insert_payload(self, invocation_id: InvocationId, payload: str) -> None:
        """Keep what main submitted for agents."""
        ...

    def insert_tasks(self, tasks: Sequence[Task]) -> None:
        """Add tasks and their edges."""
        ...

    def update_tasks(self, tasks: Sequence[Task]) -> None:
        """Change tasks; a finished one, or one of a later attempt, is never overwritten."""
        ...

    def insert_agent(self, agent: Agent) -> None:
        """Add an agent."""
        ...

    def update_agent(self, agent: Agent) -> None:
        """Change an agent."""
        ...

    def insert_leases(self, leases: Sequence[Lease]) -> None:
        """Add leases; a second live one of a task is refused."""
        ...

    def update_leases(self, leases: Sequence[Lease]) -> None:
        """Change leases; only live ones can be."""
        ...

    def insert_cache_entry(self, entry: CacheEntry) -> bool:
        """Keep it, unless there is one; returns whether it is new."""
        ...

    def insert_cache_entries(self, entries: Sequence[CacheEntry]) -> None:
        """Keep those that are new."""
        ...

    def learn_durations(
        self, learned: Sequence[tuple[WorkspaceId, DurationKey, float]], at: datetime
    ) -> None:
        """Let each duration count half in what is remembered of its task."""
        ...

    def learn_hash_outcomes(
        self, learned: Sequence[tuple[WorkspaceId, TaskHash, bool]], at: datetime
    ) -> None:
        """Remember that tasks of these hashes have succeeded (or failed), beside what is remembered already."""
        ...

    def append_events(self, events: Sequence[Event]) -> None:
        """Append to history."""
        ...

    def ensure_workspace(self, workspace_id: WorkspaceId, at: datetime) -> None:
        """Make the workspace if it is new."""
        ...

    def insert_token(self, token: Token) -> None:
        """Keep a token, and make its workspace if it is new."""
        ...

    def revoke_token(self, token_id: TokenId, at: datetime) -> bool:
        """Revoke a token; False when there is none of this id."""
        ...

    def lock_presence(self) -> datetime:
        """When a coordinator was last at work; locked, so that one of several moves deadlines."""
        ...

    def note_presence(self, now: datetime, *, if_live: bool) -> None:
        """A coordinator is at work; `if_live`: not worth a note where no run is live."""
        ...

    def move_deadlines(self, by: timedelta, now: datetime, lease_expires_at: datetime) -> int:
        """Move the deadline of everything live, but none past that of a fresh one; returns how many there were."""
        ...


class Store(Protocol):
    """The database."""

    def migrate(self) -> None:
        """Bring the schema up to date; blocks."""
        ...

    async def write(self, work: Callable[[Session], T]) -> T:
        """Run the work in a transaction; when this returns, its changes are durable.

        Raises:
            ConflictError: another writer was faster; nothing was changed, the work may be tried again.
        """
        ...

    async def read(self, work: Callable[[Reads], T]) -> T:
        """Run the work on one consistent snapshot, beside any writing."""
        ...

    def close(self) -> None:
        """Finish what is queued and let go of the database; blocks."""
        ...

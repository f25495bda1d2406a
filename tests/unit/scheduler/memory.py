"""Every row in memory: applies facts strictly and loads slices as `state.py` asks for them."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from nx_dte.coordinator.scheduler import facts, invariants, policy, state
from nx_dte.model.agent import Agent, AgentState
from nx_dte.model.artifact import Artifact
from nx_dte.model.cache_entry import CacheEntry
from nx_dte.model.duration import DurationKey
from nx_dte.model.event import Event
from nx_dte.model.ids import (
    AgentId,
    ArtifactId,
    CiRunId,
    InvocationId,
    JobId,
    LeaseId,
    TaskHash,
    TaskKey,
)
from nx_dte.model.invocation import Invocation, InvocationState
from nx_dte.model.lease import Lease
from nx_dte.model.record import Record
from nx_dte.model.run import CiRun, MainJob
from nx_dte.model.task import Task, TaskState


@dataclass
class Memory:
    """The reference for a real store: no row is added twice, or changed before it is there."""

    runs: dict[CiRunId, CiRun] = field(default_factory=dict)
    main_jobs: dict[tuple[CiRunId, JobId], MainJob] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)
    invocations: dict[InvocationId, Invocation] = field(default_factory=dict)
    payloads: dict[InvocationId, str] = field(default_factory=dict)
    tasks: dict[TaskKey, Task] = field(default_factory=dict)
    leases: dict[LeaseId, Lease] = field(default_factory=dict)
    agents: dict[AgentId, Agent] = field(default_factory=dict)
    artifacts: dict[ArtifactId, Artifact] = field(default_factory=dict)
    cache: dict[tuple[str, str, str], CacheEntry] = field(default_factory=dict)
    durations: dict[DurationKey, float] = field(default_factory=dict)
    hash_outcomes: dict[TaskHash, set[bool]] = field(default_factory=dict)
    medians: dict[str, float] = field(default_factory=dict)
    history: list[Event] = field(default_factory=list)

    def apply(self, fact: facts.Fact) -> None:  # noqa: C901, PLR0912 - a flat case for each fact
        match fact:
            case facts.RunAdded(run=run):
                _insert(self.runs, run.ci_run_id, run)
            case facts.RunChanged(run=run):
                _update(self.runs, run.ci_run_id, run)
            case facts.MainJobChanged(main_job=job):
                self.main_jobs[job.ci_run_id, job.job_id] = job
            case facts.RecordAdded(record=record):
                _insert(self.records, record.record_key, record)
            case facts.InvocationAdded(invocation=invocation):
                _insert(self.invocations, invocation.invocation_id, invocation)
            case facts.InvocationChanged(invocation=invocation):
                _update(self.invocations, invocation.invocation_id, invocation)
            case facts.PayloadAdded(invocation_id=invocation_id, payload=payload):
                assert invocation_id in self.invocations
                _insert(self.payloads, invocation_id, payload)
            case facts.TaskAdded(task=task_):
                _insert(self.tasks, task_.key, task_)
            case facts.TaskChanged(task=task_):
                _update(self.tasks, task_.key, task_)
            case facts.AgentAdded(agent=agent):
                _insert(self.agents, agent.agent_id, agent)
            case facts.AgentChanged(agent=agent):
                _update(self.agents, agent.agent_id, agent)
            case facts.LeaseGranted(lease=lease):
                assert not [other for other in self.live_leases() if other.task_key == lease.task_key]
                _insert(self.leases, lease.lease_id, lease)
            case facts.LeaseChanged(lease=lease):
                _update(self.leases, lease.lease_id, lease)
            case facts.CacheEntryAdded(entry=entry):
                self.cache.setdefault((entry.scope, entry.scope_id, entry.task_hash), entry)
            case facts.DurationLearned(key=key, duration_s=duration_s):
                self.durations[key] = duration_s
            case facts.HashOutcomeLearned(task_hash=task_hash, is_success=is_success):
                self.hash_outcomes.setdefault(task_hash, set()).add(is_success)
            case facts.EventAppended(event=event):
                self.history.append(event)

    def snapshot(self) -> invariants.Snapshot:
        return invariants.Snapshot(
            runs=dict(self.runs),
            invocations=dict(self.invocations),
            tasks=dict(self.tasks),
            leases=dict(self.leases),
            agents=dict(self.agents),
            events=list(self.history),
        )

    # ------------------------------------------------------------------------------------- loading
    def live_leases(self) -> list[Lease]:
        return [lease for lease in self.leases.values() if lease.is_live]

    def newest(self, ci_id: str = "4711", environment: str = "") -> CiRun | None:
        runs = [run for run in self.runs.values() if (run.ci_id, run.environment) == (ci_id, environment)]
        return max(runs, key=lambda run: run.attempt, default=None)

    def running(self, ci_run_id: CiRunId) -> list[Invocation]:
        return [
            value
            for value in self.invocations.values()
            if value.ci_run_id == ci_run_id and value.state is InvocationState.RUNNING
        ]

    def of(self, invocation_id: InvocationId) -> list[Task]:
        return [value for key, value in self.tasks.items() if key.invocation_id == invocation_id]

    def candidates(self, ci_run_id: CiRunId) -> list[Task]:
        found: list[Task] = []
        for invocation in self.running(ci_run_id):
            ready = [value for value in self.of(invocation.invocation_id) if value.state is TaskState.READY]
            ready.sort(key=lambda value: (-value.priority_s, value.task_id))
            for runs_alone in (False, True):
                found += [value for value in ready if value.runs_alone is runs_alone][: policy.CANDIDATES]
        return found

    def at_work(self, ci_run_id: CiRunId, since: datetime) -> set[AgentId]:
        busy = {lease.agent_id for lease in self.live_leases()}
        return {
            agent.agent_id
            for agent in self.agents.values()
            if agent.ci_run_id == ci_run_id
            and agent.state is AgentState.JOINED
            and (agent.agent_id in busy or (agent.claimed_at or agent.joined_at) >= since)
        }

    def held(self, agent_id: AgentId) -> tuple[state.HeldTask, ...]:
        return tuple(self.held_task(lease) for lease in self.live_leases() if lease.agent_id == agent_id)

    def held_task(self, lease: Lease) -> state.HeldTask:
        task_ = self.tasks[lease.task_key]
        return state.HeldTask(
            lease=lease,
            task=task_,
            invocation=self.invocations[lease.invocation_id],
            doomed=self.doomed(task_),
        )

    def doomed(self, failed: Task) -> tuple[Task, ...]:
        if self.invocations[failed.invocation_id].nx_bail:
            open_states = {TaskState.BLOCKED, TaskState.READY}
            return tuple(value for value in self.of(failed.invocation_id) if value.state in open_states)
        found: dict[TaskKey, Task] = {}
        todo = [failed]
        while todo:
            for dependent in self.dependents(todo.pop()):
                if dependent.key not in found and dependent.state is not TaskState.FINISHED:
                    found[dependent.key] = dependent
                    todo.append(dependent)
        return tuple(found.values())

    def dependents(self, task_: Task) -> tuple[Task, ...]:
        return tuple(value for value in self.of(task_.invocation_id) if task_.task_id in value.dependencies)

    def work(self, invocation: Invocation) -> state.InvocationWork:
        return state.InvocationWork(
            invocation=invocation,
            unfinished=tuple(
                value for value in self.of(invocation.invocation_id) if value.state is not TaskState.FINISHED
            ),
            live_leases=tuple(
                lease for lease in self.live_leases() if lease.invocation_id == invocation.invocation_id
            ),
        )

    def held_bytes(self, agent_id: AgentId) -> dict[TaskKey, int]:
        return {
            task_.key: sum(
                made.artifact.size
                for made in self.of(task_.invocation_id)
                if made.task_id in task_.dependencies and made.agent_id == agent_id and made.artifact
            )
            for task_ in self.tasks.values()
            if task_.state is TaskState.READY
        }


def _insert(rows: dict[Any, Any], key: Any, value: Any) -> None:
    assert key not in rows, f"{key} was added twice"
    rows[key] = value


def _update(rows: dict[Any, Any], key: Any, value: Any) -> None:
    assert key in rows, f"{key} was changed before it was added"
    rows[key] = value

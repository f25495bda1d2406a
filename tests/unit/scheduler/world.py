"""A whole coordinator in memory: loads slices as `state.py` asks for them, decides, applies facts.

The reference for a real store. It is strict about facts (no row is added twice or changed before it is there), checks
every invariant after each event, and parks agents that were refused work, as a waiting claim would be.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from nx_dte.coordinator.scheduler import answers, effects, events, invariants, policy, state
from nx_dte.coordinator.scheduler.context import Context, Limits
from nx_dte.coordinator.scheduler.decide import decide
from nx_dte.model.access import TokenAccess
from nx_dte.model.agent import AgentState, LeftReason, WorkState
from nx_dte.model.artifact import Artifact
from nx_dte.model.duration import Durations
from nx_dte.model.event import EventKind
from nx_dte.model.ids import (
    AgentId,
    ArtifactId,
    JobId,
    LeaseId,
    TaskHash,
    TaskId,
    TaskKey,
    WorkspaceId,
)
from nx_dte.model.invocation import CancelReason, Invocation
from nx_dte.model.lease import Lease
from nx_dte.model.run import CiRun
from nx_dte.model.task import Task
from tests.unit.scheduler.memory import Memory

WORKSPACE = WorkspaceId("default")
LOOKS_AGAIN_S = 2.0
"""The engine looks again for claims that wait, whether woken or not."""
START = datetime(2030, 1, 1, tzinfo=UTC)


def task(task_id: str, *dependencies: str, **more: Any) -> events.SubmittedTask:
    """`project:target[:configuration]` with what it depends on."""
    project, target, *configuration = task_id.split(":")
    return events.SubmittedTask(
        task_id=TaskId(task_id),
        project=project,
        target=target,
        configuration=configuration[0] if configuration else None,
        dependencies=tuple(TaskId(dependency) for dependency in dependencies),
        **{"task_hash": f"hash-of-{task_id}", **more},
    )


@dataclass
class World(Memory):
    """A clock that moves when told to, and helpers named as the wire's requests."""

    limits: Limits = field(default_factory=Limits)
    is_checking: bool = True
    now: datetime = START
    done: list[effects.Effect] = field(default_factory=list)
    parked: set[AgentId] = field(default_factory=set)
    _ids: Iterator[int] = field(default_factory=lambda: count(1))

    # ---------------------------------------------------------------------------------- the engine
    def happens(self, slice_: Any, event: Any) -> Any:
        """One event: decide, apply, check; the answer."""
        before = self.snapshot() if self.is_checking else None
        context = Context(now=self.now, new_id=lambda: f"{next(self._ids):06}", limits=self.limits)
        decision = decide(slice_, event, context)
        for fact in decision.facts:
            self.apply(fact)
        self.done.extend(decision.effects)
        for effect in decision.effects:
            if isinstance(effect, effects.WakeAgents):
                self.parked -= {effect.agent_id} if effect.agent_id else set(self.parked)
        if before is not None:
            assert not [
                *invariants.violations(self.snapshot()),
                *invariants.changed_history(before, self.snapshot()),
            ]
            self.check_nobody_idles()
        return decision.answer

    def check_nobody_idles(self) -> None:
        """No ready task beside an agent that has asked and still waits; but for one that another is to get."""
        for agent_id in self.parked:
            agent = self.agents[agent_id]
            if agent.state is AgentState.JOINED and not self.runs[agent.ci_run_id].state.is_over:
                idle = policy.choose(
                    self.candidates(agent.ci_run_id),
                    invocations=self.invocations,
                    held=[lease for lease in self.live_leases() if lease.agent_id == agent_id],
                    slots=None,
                    held_bytes={},
                    barred=self.barred(agent_id),
                )
                assert not idle, f"{agent.name} waits beside {[task_.task_id for task_ in idle]}"

    def has_peer(self, agent_id: AgentId) -> bool:
        return bool(self.at_work(self.agents[agent_id].ci_run_id, self.now - policy.AT_WORK) - {agent_id})

    def barred(self, agent_id: AgentId) -> set[TaskKey]:
        if not self.has_peer(agent_id):
            return set()
        return {key for key, task_ in self.tasks.items() if task_.avoid_agent_id == agent_id}

    # ------------------------------------------------------------------------------------ main job
    def open(self, job_id: str = "991", **more: Any) -> CiRun:
        event = events.RunOpened(
            **{
                "workspace_id": WORKSPACE,
                "ci_id": "4711",
                "environment": "",
                "job_id": JobId(job_id),
                "token_access": TokenAccess.READ_WRITE,
                **more,
            }
        )
        newest = self.newest(event.ci_id, event.environment)
        is_seen = any(
            job == event.job_id
            and self.runs[run_id].ci_id == event.ci_id
            and self.runs[run_id].token_access is event.token_access
            for run_id, job in self.main_jobs
        )
        in_the_way = newest if newest and newest.token_access is not event.token_access else None
        work = self.running(in_the_way.ci_run_id) if in_the_way and not in_the_way.state.is_over else ()
        slice_ = state.OpenSlice(
            newest=newest,
            is_job_seen=is_seen,
            untrusted_work=tuple(self.work(invocation) for invocation in work),
        )
        answer: answers.RunAnswer = self.happens(slice_, event)
        return self.runs[answer.run.ci_run_id]

    def submit(self, *tasks: events.SubmittedTask, run: CiRun | None = None, **more: Any) -> Invocation:
        event = events.InvocationSubmitted(
            **{
                "invocation_key": f"key-{len(self.invocations)}",
                "command": "nx affected",
                "targets": tuple(dict.fromkeys(task_.target for task_ in tasks)),
                "parallel": 2,
                "tasks": tasks,
                **more,
            }
        )
        run = self.runs[run.ci_run_id] if run else self.run
        existing = next(
            (
                value
                for value in self.invocations.values()
                if (value.ci_run_id, value.invocation_key) == (run.ci_run_id, event.invocation_key)
            ),
            None,
        )
        slice_ = state.SubmitSlice(
            run=run,
            existing=existing,
            durations=Durations(exact_s=self.durations, target_median_s=self.medians),
            artifacts=self.artifacts,
        )
        answer: answers.InvocationAnswer = self.happens(slice_, event)
        return self.invocations[answer.invocation.invocation_id]

    def cancel(self, invocation: Invocation, reason: CancelReason = CancelReason.INTERRUPTED) -> Invocation:
        slice_ = state.CancelSlice(
            run=self.runs[invocation.ci_run_id],
            work=self.work(self.invocations[invocation.invocation_id]),
        )
        self.happens(slice_, events.InvocationCancelled(reason=reason))
        return self.invocations[invocation.invocation_id]

    def record(self, code: int = 0, key: str = "record-1", run: CiRun | None = None) -> str:
        event = events.RecordReported(
            record_key=key,
            command="nx format:check",
            code=code,
            terminal_output="checked",
            started_at=self.now,
            ended_at=self.now,
        )
        slice_ = state.RecordSlice(run=run or self.run, existing=self.records.get(key))
        answer: answers.RecordAnswer = self.happens(slice_, event)
        return answer.record_id

    def ping(self) -> CiRun:
        answer: answers.RunAnswer = self.happens(state.RunSlice(run=self.run), events.MainPinged())
        return answer.run

    def main_left(self, job_id: str = "991", run: CiRun | None = None) -> CiRun:
        return self._end(events.MainLeft(job_id=JobId(job_id)), run)

    def main_silent(self) -> CiRun:
        return self._end(events.MainFellSilent())

    def complete(self, run: CiRun | None = None) -> CiRun:
        return self._end(events.RunCompleted(), run)

    def _end(self, event: events.Event, run: CiRun | None = None) -> CiRun:
        ci_run_id = run.ci_run_id if run else self.run.ci_run_id
        slice_ = state.EndSlice(
            run=self.runs[ci_run_id],
            work=tuple(self.work(invocation) for invocation in self.running(ci_run_id)),
            main_jobs=tuple(job for key, job in self.main_jobs.items() if key[0] == ci_run_id),
        )
        self.happens(slice_, event)
        return self.runs[ci_run_id]

    # -------------------------------------------------------------------------------------- agents
    def ask_to_join(self, name: str = "a", **more: Any) -> answers.JoinAnswer:
        newest = self.newest()
        event = events.AgentJoined(
            **{
                "agent_key": f"key-of-{name}",
                "name": name,
                "token_access": newest.token_access if newest else TokenAccess.READ_WRITE,
                **more,
            }
        )
        existing = next(
            (
                agent
                for agent in self.agents.values()
                if newest and (agent.ci_run_id, agent.agent_key) == (newest.ci_run_id, event.agent_key)
            ),
            None,
        )
        answer: answers.JoinAnswer = self.happens(state.JoinSlice(newest=newest, existing=existing), event)
        return answer

    def join(self, name: str = "a", **more: Any) -> AgentId:
        answer = self.ask_to_join(name, **more)
        assert answer.agent is not None, answer
        return answer.agent.agent_id

    def ask(
        self,
        agent_id: AgentId,
        *,
        holding: Iterable[LeaseId] | None = None,
        slots: int | None = None,
        is_sign_of_life: bool = True,
    ) -> answers.ClaimAnswer:
        agent = self.agents[agent_id]
        held = self.held(agent_id)
        slice_ = state.ClaimSlice(
            run=self.runs[agent.ci_run_id],
            agent=agent,
            held=held,
            invocations=tuple(self.running(agent.ci_run_id)),
            candidates=tuple(self.candidates(agent.ci_run_id)),
            held_bytes=self.held_bytes(agent_id),
            has_peer=self.has_peer(agent_id),
        )
        mine = frozenset(one.lease.lease_id for one in held) if holding is None else frozenset(holding)
        event = events.TasksClaimed(holding=mine, slots=slots, is_sign_of_life=is_sign_of_life)
        answer: answers.ClaimAnswer = self.happens(slice_, event)
        if answer.state is WorkState.WORK and slots is None:
            self.parked.add(agent_id)
            self.check_nobody_idles()
        return answer

    def claim(self, agent_id: AgentId, **more: Any) -> list[Lease]:
        return [grant.lease for grant in self.ask(agent_id, **more).grants]

    def heartbeat(self, agent_id: AgentId, holding: Iterable[LeaseId] = ()) -> answers.HeartbeatAnswer:
        agent = self.agents[agent_id]
        slice_ = state.HeartbeatSlice(
            run=self.runs[agent.ci_run_id],
            agent=agent,
            live_leases=tuple(lease for lease in self.live_leases() if lease.agent_id == agent_id),
        )
        event = events.AgentHeartbeat(holding=frozenset(holding))
        answer: answers.HeartbeatAnswer = self.happens(slice_, event)
        return answer

    def report(self, lease: Lease, *, by: AgentId | None = None, **more: Any) -> answers.ReportAnswer:
        event = events.TaskReported(
            **{
                "lease_id": lease.lease_id,
                "attempt": lease.attempt,
                "outcome": events.ReportOutcome.SUCCEEDED,
                "code": 0,
                "token_access": TokenAccess.READ_WRITE,
                "nx_status": "success",
                "started_at": self.now,
                "ended_at": self.now,
                **more,
            }
        )
        stored = self.leases.get(event.lease_id)
        task_ = self.tasks[stored.task_key] if stored else None
        agent = self.agents[by or lease.agent_id]
        is_success = event.outcome is events.ReportOutcome.SUCCEEDED
        slice_ = state.ReportSlice(
            run=self.runs[agent.ci_run_id],
            agent=agent,
            lease=stored,
            task=task_,
            invocation=self.invocations[stored.invocation_id] if stored else None,
            dependents=self.dependents(task_) if task_ and is_success else (),
            doomed=self.doomed(task_) if task_ and not is_success else (),
            artifact=self.artifacts.get(event.artifact_id) if event.artifact_id else None,
            is_known_flaky=self.is_known_flaky((task_.task_hash if task_ else None) or event.task_hash),
        )
        answer: answers.ReportAnswer = self.happens(slice_, event)
        return answer

    def fail(self, lease: Lease, code: int = 1) -> answers.ReportAnswer:
        return self.report(lease, outcome=events.ReportOutcome.FAILED, code=code, nx_status="failure")

    def not_stored(
        self, lease: Lease, message: str | None = "the coordinator's disk is full"
    ) -> answers.ReportAnswer:
        return self.report(lease, outcome=events.ReportOutcome.NOT_STORED, message=message)

    def is_known_flaky(self, task_hash: TaskHash | None) -> bool:
        return task_hash is not None and len(self.hash_outcomes.get(task_hash, ())) > 1

    def leave(
        self, agent_id: AgentId, reason: LeftReason = LeftReason.INTERRUPTED, message: str | None = None
    ) -> None:
        self._gone(agent_id, events.AgentLeft(reason=reason, message=message))

    def agent_silent(self, agent_id: AgentId) -> None:
        self._gone(agent_id, events.AgentFellSilent())

    def _gone(self, agent_id: AgentId, event: events.Event) -> None:
        agent = self.agents[agent_id]
        slice_ = state.GoneSlice(run=self.runs[agent.ci_run_id], agent=agent, held=self.held(agent_id))
        self.happens(slice_, event)

    def expire(self, lease: Lease) -> None:
        self._is_due(lease, events.LeaseExpired())

    def time_out(self, lease: Lease) -> None:
        self._is_due(lease, events.TaskTimedOut())

    def note_slow(self, lease: Lease) -> None:
        self._is_due(lease, events.TaskRanLong())

    def _is_due(self, lease: Lease, event: events.Event) -> None:
        stored = self.leases[lease.lease_id]
        slice_ = state.ReapSlice(
            run=self.runs[stored.ci_run_id],
            agent=self.agents[stored.agent_id],
            held=self.held_task(stored),
        )
        self.happens(slice_, event)

    # ------------------------------------------------------------------------------ time and looking
    def passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
        if seconds >= LOOKS_AGAIN_S:
            self.parked.clear()

    def reap(self) -> None:
        """What the engine's reaper does each second: whatever is due."""
        for agent in list(self.agents.values()):
            if agent.state.is_live and agent.seen_at + self.limits.lease <= self.now:
                self.agent_silent(agent.agent_id)
        for lease in self.live_leases():
            if self.leases[lease.lease_id].is_live and lease.expires_at <= self.now:
                self.expire(lease)
        for lease in self.live_leases():
            if lease.times_out_at and lease.times_out_at <= self.now:
                self.time_out(lease)
        for lease in self.live_leases():
            if lease.slow_at and lease.slow_at <= self.now and lease.slow_noted_at is None:
                self.note_slow(lease)

    def restart(self) -> None:
        """The coordinator was away: everybody's deadline starts afresh."""
        _map(self.runs, lambda run: _fresh(run, main_seen_at=self.now))
        _map(self.agents, lambda agent: _fresh(agent, seen_at=self.now))
        self.leases.update(
            {
                lease.lease_id: _fresh(lease, expires_at=self.now + self.limits.lease)
                for lease in self.live_leases()
            }
        )
        self.parked.clear()

    @property
    def run(self) -> CiRun:
        newest = self.newest()
        assert newest is not None
        return newest

    def states(self, invocation: Invocation) -> dict[str, str]:
        """Each task's outcome, or its state while it has none."""
        return {
            str(value.task_id): (value.outcome or value.state).value
            for value in self.of(invocation.invocation_id)
        }

    def task_of(self, invocation: Invocation, task_id: str) -> Task:
        return self.tasks[TaskKey(invocation.invocation_id, TaskId(task_id))]

    def messages(self, *kinds: EventKind) -> list[str]:
        return [event.message for event in self.history if not kinds or event.kind in kinds]

    def store_artifact(self, artifact_id: str, size: int = 10) -> ArtifactId:
        known = ArtifactId(artifact_id)
        self.artifacts[known] = Artifact(
            workspace_id=WORKSPACE,
            artifact_id=known,
            size=size,
            created_at=self.now,
            last_used_at=self.now,
            blob_key=artifact_id,
        )
        return known

    def work_off(
        self, agents: Sequence[AgentId], outcome: Callable[[Lease], bool] = lambda _: True
    ) -> list[str]:
        """Agents claim and report in turn until nothing is handed out any more; the order of the tasks."""
        order = []
        while leases := [lease for agent_id in agents for lease in self.claim(agent_id)]:
            for lease in leases:
                order.append(str(lease.task_id))
                self.report(lease) if outcome(lease) else self.fail(lease)
        return order


def _fresh(value: Any, **changes: datetime) -> Any:
    return replace(value, **changes)


def _map(rows: dict[Any, Any], change: Callable[[Any], Any]) -> None:
    rows.update({key: change(value) for key, value in rows.items()})

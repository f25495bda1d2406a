"""What must hold between any two events, whatever happened. Tests check it after each; a fault names the row.

Checked on a whole world, so it is not for the running coordinator, whose slices are small on purpose.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from nx_dte.model.agent import Agent
from nx_dte.model.event import Event, EventKind
from nx_dte.model.ids import AgentId, CiRunId, InvocationId, LeaseId, TaskKey
from nx_dte.model.invocation import Invocation, InvocationState
from nx_dte.model.lease import Lease, LeaseState
from nx_dte.model.run import CiRun, CiRunState, RunOutcome
from nx_dte.model.task import FailureReason, Task, TaskOutcome, TaskState

_GIVEN_UP = frozenset({TaskOutcome.LOST})
_OUTCOMES: Mapping[FailureReason, frozenset[TaskOutcome]] = {
    FailureReason.TASK_FAILED: frozenset({TaskOutcome.FAILED}),
    FailureReason.TIMED_OUT: frozenset({TaskOutcome.FAILED}),
    FailureReason.AGENT_LOST: _GIVEN_UP,
    FailureReason.LEASE_EXPIRED: _GIVEN_UP,
    FailureReason.TOO_MANY_ATTEMPTS: _GIVEN_UP,
    FailureReason.DEPENDENCY_FAILED: frozenset({TaskOutcome.SKIPPED}),
    FailureReason.BAILED: frozenset({TaskOutcome.SKIPPED}),
    FailureReason.CANCELLED: frozenset({TaskOutcome.CANCELLED}),
    FailureReason.NOT_STORED: frozenset({TaskOutcome.CANCELLED}),
    FailureReason.MISMATCH: frozenset({TaskOutcome.CANCELLED}),
    # These end an attempt, never a task.
    FailureReason.AGENT_LEFT: frozenset(),
    FailureReason.NEVER_RECEIVED: frozenset(),
    FailureReason.FLAKY_RETRY: frozenset(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Every row there is."""

    runs: Mapping[CiRunId, CiRun]
    invocations: Mapping[InvocationId, Invocation]
    tasks: Mapping[TaskKey, Task]
    leases: Mapping[LeaseId, Lease]
    agents: Mapping[AgentId, Agent]
    events: Iterable[Event]

    def live_leases(self) -> list[Lease]:
        """Those that count."""
        return [lease for lease in self.leases.values() if lease.is_live]

    def tasks_of(self, invocation_id: InvocationId) -> list[Task]:
        """All tasks of an invocation."""
        return [task for task in self.tasks.values() if task.invocation_id == invocation_id]


def violations(world: Snapshot) -> list[str]:
    """One sentence for each rule that is broken; empty when all is well."""
    return [
        *_leases(world),
        *_tasks(world),
        *_invocations(world),
        *_runs(world),
        *_agents(world),
        *_history(world),
    ]


def changed_history(before: Snapshot, after: Snapshot) -> list[str]:
    """What is finished never changes."""
    return [
        *(
            f"finished task {key} changed"
            for key, task in before.tasks.items()
            if task.state is TaskState.FINISHED and after.tasks[key] != task
        ),
        *(
            f"ended lease {key} changed"
            for key, lease in before.leases.items()
            if not lease.is_live and after.leases[key] != lease
        ),
        *(
            f"run {key} is over, yet its outcome changed"
            for key, run in before.runs.items()
            if run.state.is_over and _verdict(after.runs[key]) != _verdict(run)
        ),
        *(
            f"ended invocation {key} changed"
            for key, invocation in before.invocations.items()
            if invocation.state is not InvocationState.RUNNING and after.invocations[key] != invocation
        ),
    ]


def _verdict(run: CiRun) -> tuple[CiRunState, RunOutcome | None]:
    return run.state, run.outcome


def _leases(world: Snapshot) -> Iterator[str]:
    live = world.live_leases()
    for key, count in Counter(lease.task_key for lease in live).items():
        if count > 1:
            yield f"task {key} has {count} live leases"
    for lease in live:
        task = world.tasks[lease.task_key]
        if task.state is not TaskState.LEASED or task.attempt != lease.attempt:
            yield f"lease {lease.lease_id} is live, but {task.task_id} is {task.state} at attempt {task.attempt}"
        if not world.agents[lease.agent_id].state.is_live:
            yield f"lease {lease.lease_id} is live, but its agent is gone"
    for lease in world.leases.values():
        if (lease.state is LeaseState.REPORTED) != (lease.reported is not None):
            yield f"lease {lease.lease_id} is {lease.state} and reported {lease.reported}"


def _tasks(world: Snapshot) -> Iterator[str]:
    leased = {lease.task_key for lease in world.live_leases()}
    for key, task in world.tasks.items():
        missing = sum(not _is_well(world, task, dependency) for dependency in task.dependencies)
        if (task.state is TaskState.LEASED) != (key in leased):
            yield f"{key} is {task.state}, but has {'a' if key in leased else 'no'} live lease"
        if (task.state is TaskState.FINISHED) != (task.outcome is not None):
            yield f"{key} is {task.state} with outcome {task.outcome}"
        if task.state in {TaskState.READY, TaskState.LEASED} and missing:
            yield f"{key} is {task.state}, but {missing} dependencies have not ended well"
        if task.state is TaskState.BLOCKED and (missing == 0 or missing != task.unfinished_dependencies):
            yield f"{key} is blocked and counts {task.unfinished_dependencies} dependencies, there are {missing}"

        if task.failed_attempts > 1:
            yield f"{key} was tried again after {task.failed_attempts} failures"
        if (
            task.outcome is not None
            and task.reason is not None
            and task.outcome not in _OUTCOMES[task.reason]
        ):
            yield f"{key} is {task.outcome} because of {task.reason}"


def _is_well(world: Snapshot, task: Task, dependency: str) -> bool:
    outcome = next(
        other.outcome
        for key, other in world.tasks.items()
        if key.invocation_id == task.invocation_id and key.task_id == dependency
    )
    return outcome is not None and outcome.is_well


def _invocations(world: Snapshot) -> Iterator[str]:
    live = Counter(lease.invocation_id for lease in world.live_leases())
    for key, invocation in world.invocations.items():
        tasks = world.tasks_of(key)
        unfinished = sum(task.state is not TaskState.FINISHED for task in tasks)
        failed = sum(task.outcome is not None and task.outcome.is_failure for task in tasks)
        cancelled = sum(task.outcome is TaskOutcome.CANCELLED for task in tasks)
        counted = (
            invocation.tasks_total,
            invocation.tasks_unfinished,
            invocation.tasks_failed,
            invocation.tasks_cancelled,
        )
        if counted != (len(tasks), unfinished, failed, cancelled) or invocation.live_leases != live[key]:
            yield f"invocation {key} counts {counted} and {invocation.live_leases} leases wrongly"
        if invocation.outcome is not _deserved(invocation):
            yield f"invocation {key} is {invocation.state} with outcome {invocation.outcome}"
        if (invocation.state is InvocationState.RUNNING) != (unfinished > 0):
            yield f"invocation {key} is {invocation.state} with {unfinished} unfinished tasks"
        if invocation.has_bailed and any(
            task.state in {TaskState.READY, TaskState.BLOCKED} for task in tasks
        ):
            yield f"invocation {key} has bailed, but still has tasks to hand out"


def _deserved(invocation: Invocation) -> RunOutcome | None:
    """Green only if each task has a success or a valid hit; what main does by itself is not known here."""
    if invocation.state is InvocationState.RUNNING:
        return None
    if invocation.state is InvocationState.CANCELLED or invocation.tasks_failed:
        return RunOutcome.FAILED
    return None if invocation.tasks_cancelled else RunOutcome.SUCCEEDED


def _runs(world: Snapshot) -> Iterator[str]:
    running = Counter(
        value.ci_run_id for value in world.invocations.values() if value.state is InvocationState.RUNNING
    )
    for key, run in world.runs.items():
        if run.running_invocations != running[key]:
            yield f"run {key} counts {run.running_invocations} running invocations, there are {running[key]}"
        if run.state.is_over and running[key]:
            yield f"run {key} is {run.state} with a running invocation"
        if run.state.is_over != (run.outcome is not None):
            yield f"run {key} is {run.state} with outcome {run.outcome}"
        if run.is_completed and not run.state.is_over and not running[key]:
            yield f"run {key} was completed and nothing runs, but it is {run.state}"


def _agents(world: Snapshot) -> Iterator[str]:
    for key in world.agents:
        held = [lease for lease in world.live_leases() if lease.agent_id == key]
        slots = max((world.invocations[lease.invocation_id].parallel for lease in held), default=0)
        if len(held) > slots:
            yield f"agent {key} holds {len(held)} leases in {slots} slots"
        if len(held) > 1 and any(lease.runs_alone for lease in held):
            yield f"agent {key} holds something beside a task that must run alone"


def _history(world: Snapshot) -> Iterator[str]:
    by_run: dict[CiRunId, list[int]] = {run_id: [] for run_id in world.runs}
    for event in world.events:
        by_run[event.ci_run_id].append(event.sequence)
    for run_id, sequences in by_run.items():
        if sequences != list(range(1, world.runs[run_id].sequence + 1)):
            yield f"run {run_id} has events {sequences}, its counter says {world.runs[run_id].sequence}"
    yield from _told_once(world)


def _told_once(world: Snapshot) -> Iterator[str]:
    finished: Counter[TaskKey] = Counter()
    slow: Counter[LeaseId] = Counter()
    for event in world.events:
        if event.kind is EventKind.TASK_FINISHED and event.invocation_id and event.task_id:
            finished[TaskKey(event.invocation_id, event.task_id)] += 1
        elif event.kind is EventKind.TASK_SLOW and event.lease_id:
            slow[event.lease_id] += 1
    for key, task in world.tasks.items():
        if finished[key] != (task.state is TaskState.FINISHED):
            yield f"{key} is {task.state}, and {finished[key]} events say that it finished"
    for lease_id, count in slow.items():
        if count > 1:
            yield f"{count} events say that the task of lease {lease_id} is slow"

"""Who gets what: priorities and the order of claims.

Priority is the longest remaining path in expected seconds: the classic list-scheduling rule, which keeps the end of a
run within twice the best possible whatever the durations turn out to be. Agents are filled, not spread: a claim is
granted as much as it may hold at once.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import timedelta

from nx_dte.coordinator.scheduler.context import Limits
from nx_dte.model.duration import DurationKey, Durations
from nx_dte.model.ids import InvocationId, TaskId, TaskKey
from nx_dte.model.invocation import Invocation, InvocationState
from nx_dte.model.lease import Lease
from nx_dte.model.run import CiRun
from nx_dte.model.task import Task, TaskState

CANDIDATES = 64
"""How many ready tasks of a kind the store offers to a claim: the most that one claim is granted."""
DEFAULT_DURATION_S = 1.0
"""Expected of a task whose target nobody has run yet."""
AT_WORK = timedelta(seconds=60)
"""An agent can be counted on when it holds something, or has joined or asked for work within this time: more than the
longest wait of a claim. One that only sends heartbeats will never take a task."""


def priorities(
    order: Sequence[TaskId],
    dependencies: Mapping[TaskId, Collection[TaskId]],
    expected_s: Mapping[TaskId, float],
) -> dict[TaskId, float]:
    """The longest path from each task to the end, itself included. `order` has dependencies before dependents."""
    longest = dict(expected_s)
    for task_id in reversed(order):
        path_s = longest[task_id]
        for dependency in dependencies[task_id]:
            through = expected_s[dependency] + path_s
            longest[dependency] = max(longest[dependency], through)
    return longest


def expected_duration(
    *, project: str, target: str, configuration: str | None, is_noop: bool, durations: Durations
) -> float:
    """Seconds a task will probably take."""
    if is_noop:
        return 0.0
    return durations.expect(DurationKey(project, target, configuration), default_s=DEFAULT_DURATION_S)


def choose(
    candidates: Iterable[Task],
    *,
    invocations: Mapping[InvocationId, Invocation],
    held: Collection[Lease],
    slots: int | None,
    held_bytes: Mapping[TaskKey, int],
    barred: Collection[TaskKey] = (),
) -> list[Task]:
    """What to grant to an agent that holds `held` and has `slots` free (or as many as the invocations allow).

    `barred` are tasks that another agent is to get. Two commands may have the same task; it writes the same files, so
    one checkout never runs it twice at once.
    """
    chosen: list[Task] = []
    at_work = {lease.task_id for lease in held}
    most = CANDIDATES if slots is None else min(slots, CANDIDATES)
    if any(lease.runs_alone for lease in held):
        return chosen
    for task in sorted(candidates, key=lambda task: _claim_order(task, held_bytes)):
        holding = len(held) + len(chosen)
        if len(chosen) >= most:
            break
        if not _may_hand_out(task, invocations) or holding >= invocations[task.invocation_id].parallel:
            continue
        if task.key in barred or task.task_id in at_work or (task.runs_alone and holding):
            continue
        chosen.append(task)
        at_work.add(task.task_id)
        if task.runs_alone:
            break
    return chosen


def _claim_order(task: Task, held_bytes: Mapping[TaskKey, int]) -> tuple[float, int, TaskId, InvocationId]:
    return (-task.priority_s, -held_bytes.get(task.key, 0), task.task_id, task.invocation_id)


def _may_hand_out(task: Task, invocations: Mapping[InvocationId, Invocation]) -> bool:
    invocation = invocations.get(task.invocation_id)
    return (
        task.state is TaskState.READY
        and invocation is not None
        and invocation.state is InvocationState.RUNNING
        and not invocation.has_bailed
    )


def slow_after(expected_s: float | None, limits: Limits) -> timedelta:
    """How long a task may run before somebody should look at it."""
    if expected_s is None:
        return timedelta(seconds=limits.slow_task_unknown_s)
    return timedelta(seconds=max(limits.slow_task_factor * expected_s, expected_s + limits.slow_task_extra_s))


def unassigned_tasks(invocations: Iterable[Invocation]) -> int:
    """Tasks that are not finished and that nobody holds: work that is still to come."""
    return sum(
        invocation.tasks_unfinished - invocation.live_leases
        for invocation in invocations
        if invocation.state is InvocationState.RUNNING
    )


def stop_targets_met(run: CiRun, invocation: Invocation) -> tuple[str, ...]:
    """The listed targets the run has finished once this invocation has, in the order of the list.

    Matched against what commands asked for, not against the tasks there were: a change that affects no `e2e-ci`
    project must stop its agents all the same.
    """
    asked = set(invocation.targets)
    if invocation.configuration:
        asked |= {f"{target}:{invocation.configuration}" for target in invocation.targets}
    met = asked.union(run.stop_targets_finished)
    return tuple(target for target in run.stop_agents_after if target in met)

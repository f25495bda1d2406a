"""The invocation: submitted, settled when its last task ends, or cancelled."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from nx_dte.coordinator.scheduler import facts, policy, submission
from nx_dte.coordinator.scheduler.answers import Decision, InvocationAnswer
from nx_dte.coordinator.scheduler.context import Context
from nx_dte.coordinator.scheduler.draft import Draft
from nx_dte.coordinator.scheduler.errors import CiRunClosedError
from nx_dte.coordinator.scheduler.events import InvocationCancelled, InvocationSubmitted, SubmittedTask
from nx_dte.coordinator.scheduler.state import CancelSlice, InvocationWork, SubmitSlice
from nx_dte.coordinator.scheduler.transitions import lease as leases
from nx_dte.coordinator.scheduler.transitions import run as runs
from nx_dte.coordinator.scheduler.transitions import task as tasks
from nx_dte.model.artifact import Artifact
from nx_dte.model.duration import DurationKey
from nx_dte.model.event import EventKind
from nx_dte.model.ids import ArtifactId, InvocationId, TaskId
from nx_dte.model.invocation import CancelReason, Invocation, InvocationState
from nx_dte.model.lease import LeaseState
from nx_dte.model.run import CiRunState, RunOutcome
from nx_dte.model.task import ArtifactRef, FailureReason, Task, TaskOutcome, TaskState

_WHY_CANCELLED = {
    CancelReason.INTERRUPTED: "it was interrupted on the main job",
    CancelReason.TAKEN_BACK: "the main job goes on alone",
    CancelReason.MAIN_LEFT: "the main job ended",
    CancelReason.MAIN_SILENT: "the main job fell silent",
}


# --------------------------------------------------------------------------------------- submitting
def submit(slice_: SubmitSlice, event: InvocationSubmitted, context: Context) -> Decision[InvocationAnswer]:
    """Take in a command's tasks. A key that is known already gives the first answer again."""
    draft = Draft(context, slice_.run)
    runs.see_main(draft)
    if slice_.existing is not None:
        return draft.decision(_answer(slice_.existing))
    if slice_.run.state is not CiRunState.OPEN:
        raise CiRunClosedError(
            f"CI run {slice_.run.ci_run_id} is {slice_.run.state.value}: `{event.command}` cannot be distributed in it."
        )
    invocation = _new_invocation(draft, event)
    draft.add_fact(facts.PayloadAdded(invocation_id=invocation.invocation_id, payload=event.payload))
    _add_tasks(draft, invocation, event, slice_)
    settle(draft, invocation.invocation_id)
    draft.wake_agents()
    return draft.decision(_answer(draft.invocations.get(invocation.invocation_id)))


def _answer(invocation: Invocation) -> InvocationAnswer:
    return InvocationAnswer(invocation=invocation, sequence=invocation.submitted_sequence)


def _new_invocation(draft: Draft, event: InvocationSubmitted) -> Invocation:
    invocation = Invocation(
        invocation_id=InvocationId(draft.context.new_id()),
        ci_run_id=draft.run.ci_run_id,
        invocation_key=event.invocation_key,
        command=event.command,
        targets=event.targets,
        configuration=event.configuration,
        parallel=max(1, event.parallel),
        nx_bail=event.nx_bail,
        skip_nx_cache=event.skip_nx_cache,
        task_timeout_s=event.task_timeout_s,
        tasks_total=len(event.tasks),
        tasks_unfinished=len(event.tasks),
        submitted_sequence=draft.run.sequence + 1,
        created_at=draft.now,
    )
    draft.invocations.add(invocation.invocation_id, invocation)
    draft.put_run(replace(draft.run, running_invocations=draft.run.running_invocations + 1))
    hits = sum(task.hit is not None for task in event.tasks)
    message = f"`{event.command}` brings {len(event.tasks)} tasks, {hits} of them cached."
    draft.tell(EventKind.INVOCATION_SUBMITTED, message, invocation=invocation)
    return invocation


def _add_tasks(draft: Draft, invocation: Invocation, event: InvocationSubmitted, slice_: SubmitSlice) -> None:
    order, dependencies = submission.check(event.tasks, slice_.artifacts)
    by_id = {task.task_id: task for task in event.tasks}
    expected_s = {
        task.task_id: policy.expected_duration(
            project=task.project,
            target=task.target,
            configuration=task.configuration,
            is_noop=task.is_noop,
            durations=slice_.durations,
        )
        for task in event.tasks
    }
    longest_s = policy.priorities(order, dependencies, expected_s)
    for task_id in order:
        submitted = by_id[task_id]
        missing = sum(by_id[dependency].hit is None for dependency in dependencies[task_id])
        place = _Place(
            dependencies=dependencies[task_id],
            missing=missing,
            priority_s=longest_s[task_id],
            expected_s=slice_.durations.exact_s.get(_duration_key(submitted)),
        )
        task = _new_task(draft, invocation, submitted, place)
        draft.tasks.add(task.key, task)
        if submitted.hit is not None:
            _finish_hit(draft, task, submitted, slice_.artifacts)
        elif task.state is TaskState.READY:
            draft.tell(EventKind.TASK_READY, f"{task_id} is ready: it waits for no other task.", task=task)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """Where a task stands in its graph."""

    dependencies: tuple[TaskId, ...]
    missing: int
    priority_s: float
    expected_s: float | None


def _duration_key(task: SubmittedTask) -> DurationKey:
    return DurationKey(task.project, task.target, task.configuration)


def _new_task(draft: Draft, invocation: Invocation, submitted: SubmittedTask, place: _Place) -> Task:
    is_ready = place.missing == 0
    return Task(
        invocation_id=invocation.invocation_id,
        ci_run_id=invocation.ci_run_id,
        task_id=submitted.task_id,
        project=submitted.project,
        target=submitted.target,
        configuration=submitted.configuration,
        task_hash=submitted.task_hash,
        is_cacheable=submitted.is_cacheable,
        is_noop=submitted.is_noop,
        # Nx's own product runs tasks that are not cacheable with parallelism 1.
        runs_alone=not submitted.is_parallel or not (submitted.is_cacheable or submitted.is_noop),
        outputs=submitted.outputs,
        dependencies=place.dependencies,
        state=TaskState.READY if is_ready else TaskState.BLOCKED,
        unfinished_dependencies=place.missing,
        priority_s=place.priority_s,
        expected_s=place.expected_s,
        ready_at=draft.now if is_ready else None,
    )


def _finish_hit(
    draft: Draft, task: Task, submitted: SubmittedTask, artifacts: Mapping[ArtifactId, Artifact]
) -> None:
    hit = submitted.hit
    stored = artifacts.get(hit.artifact_id) if hit and hit.artifact_id else None
    cached = replace(
        task,
        outcome=TaskOutcome.CACHED,
        code=0,
        nx_status=hit.nx_status if hit else None,
        artifact=ArtifactRef(artifact_id=stored.artifact_id, size=stored.size) if stored else None,
    )
    tasks.finish(draft, cached, message=f"{task.task_id} was a cache hit on the main job.")


# ------------------------------------------------------------------------------------------ settling
def settle(draft: Draft, *invocation_ids: InvocationId) -> None:
    """Finish those whose last task has ended."""
    for invocation_id in dict.fromkeys(invocation_ids):
        invocation = draft.invocations.get(invocation_id)
        if invocation.state is InvocationState.RUNNING and invocation.tasks_unfinished == 0:
            _finish(draft, invocation)


def _finish(draft: Draft, invocation: Invocation) -> None:
    is_failed, is_known = invocation.tasks_failed > 0, invocation.tasks_cancelled == 0
    # What was left to the main job may end either way: without a success of each task, this is no success.
    outcome = RunOutcome.FAILED if is_failed else RunOutcome.SUCCEEDED if is_known else None
    done = replace(invocation, state=InvocationState.FINISHED, outcome=outcome, ended_at=draft.now)
    draft.put_invocation(done)
    run = draft.run
    draft.put_run(
        replace(
            run,
            running_invocations=run.running_invocations - 1,
            stop_targets_finished=policy.stop_targets_met(run, done),
        )
    )
    message = f"`{done.command}` has {outcome.value if outcome else 'ended'}: {done.tasks_total} tasks, "
    message += f"{done.tasks_failed} failed" + (
        "." if is_known else f", {done.tasks_cancelled} left to the main job."
    )
    reason = outcome.value if outcome else None
    draft.tell(EventKind.INVOCATION_FINISHED, message, reason=reason, invocation=done)
    runs.command_ended(draft, is_failed=is_failed)


# ----------------------------------------------------------------------------------------- cancelling
def cancel(slice_: CancelSlice, event: InvocationCancelled, context: Context) -> Decision[InvocationAnswer]:
    """The main job takes a command back; repeated, it changes nothing."""
    draft = Draft(context, slice_.run)
    runs.see_main(draft)
    invocation_id = slice_.work.invocation.invocation_id
    draft.invocations.load(invocation_id, slice_.work.invocation)
    if slice_.work.invocation.state is InvocationState.RUNNING:
        cancel_work(draft, slice_.work, event.reason)
        runs.command_ended(draft, is_failed=event.reason is not CancelReason.TAKEN_BACK)
    return draft.decision(
        InvocationAnswer(invocation=draft.invocations.get(invocation_id), sequence=draft.run.sequence)
    )


def cancel_work(draft: Draft, work: InvocationWork, reason: CancelReason) -> None:
    """Revoke its leases and finish what is unfinished."""
    because = _WHY_CANCELLED[reason]
    draft.invocations.load(work.invocation.invocation_id, work.invocation)
    draft.load_tasks(work.unfinished)
    for lease in work.live_leases:
        draft.leases.load(lease.lease_id, lease)
        leases.end(draft, lease, LeaseState.REVOKED)
    for task in work.unfinished:
        cancelled = replace(task, outcome=TaskOutcome.CANCELLED, reason=FailureReason.CANCELLED)
        tasks.finish(draft, cancelled, message=f"{task.task_id} is cancelled, because {because}.")
    invocation = replace(
        draft.invocations.get(work.invocation.invocation_id),
        state=InvocationState.CANCELLED,
        outcome=RunOutcome.FAILED,
        cancel_reason=reason,
        ended_at=draft.now,
    )
    draft.put_invocation(invocation)
    draft.put_run(replace(draft.run, running_invocations=draft.run.running_invocations - 1))
    message = f"`{invocation.command}` is cancelled, because {because}."
    draft.tell(EventKind.INVOCATION_FINISHED, message, reason=reason.value, invocation=invocation)
    draft.wake_agents()

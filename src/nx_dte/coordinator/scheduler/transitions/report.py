"""The report: accepted once from whoever holds the lease, else refused and nothing changes."""

from dataclasses import replace
from typing import assert_never

from nx_dte.coordinator.scheduler import facts
from nx_dte.coordinator.scheduler.answers import Decision, ReportAnswer
from nx_dte.coordinator.scheduler.context import Context
from nx_dte.coordinator.scheduler.draft import Draft
from nx_dte.coordinator.scheduler.effects import Counter
from nx_dte.coordinator.scheduler.events import ReportOutcome, TaskReported
from nx_dte.coordinator.scheduler.state import ReportSlice
from nx_dte.coordinator.scheduler.transitions import invocation as invocations
from nx_dte.coordinator.scheduler.transitions import lease as leases
from nx_dte.coordinator.scheduler.transitions import task as tasks
from nx_dte.model.access import TokenAccess
from nx_dte.model.artifact import Artifact
from nx_dte.model.cache_entry import CacheEntry, CacheScope
from nx_dte.model.duration import DurationKey
from nx_dte.model.event import EventKind
from nx_dte.model.invocation import Invocation
from nx_dte.model.lease import Lease, LeaseState, ReportRefusal
from nx_dte.model.task import ArtifactRef, FailureReason, Task, TaskOutcome, TaskState

_RAN = frozenset({None, "success"})
"""Nx's statuses of a task that really ran; all others are some kind of cache hit or no success."""
_WHY_REFUSED = {
    ReportRefusal.LEASE_NOT_LIVE: "its lease is not live any more",
    ReportRefusal.ATTEMPT_NOT_CURRENT: "it names another attempt than its lease",
    ReportRefusal.NOT_YOUR_LEASE: "the lease belongs to another agent",
    ReportRefusal.ARTIFACT_MISSING: "the artifact it names is not stored",
    ReportRefusal.HASH_DIFFERS: "it computed another hash than the main job",
}


def report(slice_: ReportSlice, event: TaskReported, context: Context) -> Decision[ReportAnswer]:
    """Accept a report, or say why not. The same report again gives the first answer again."""
    draft = Draft(context, slice_.run)
    draft.agents.load(slice_.agent.agent_id, slice_.agent)
    lease, task, invocation = slice_.lease, slice_.task, slice_.invocation
    refusal = _refusal(slice_, event)
    if refusal is not None or lease is None or task is None or invocation is None:
        if _is_repeated(slice_, event):
            return draft.decision(ReportAnswer(lease_id=event.lease_id, is_accepted=True))
        return _refuse(draft, slice_, event, refusal or ReportRefusal.LEASE_NOT_LIVE)
    draft.leases.load(lease.lease_id, lease)
    draft.invocations.load(invocation.invocation_id, invocation)
    draft.load_tasks((task, *slice_.dependents, *slice_.doomed))
    _accept(draft, slice_, event, lease, task)
    invocations.settle(draft, invocation.invocation_id)
    # Its own slot is free, and a task that must run alone may have waited for that.
    draft.wake_agents(slice_.agent.agent_id)
    return draft.decision(ReportAnswer(lease_id=event.lease_id, is_accepted=True))


# ------------------------------------------------------------------------------------------ refusing
def _refusal(slice_: ReportSlice, event: TaskReported) -> ReportRefusal | None:
    lease, task = slice_.lease, slice_.task
    if lease is None or task is None:
        return ReportRefusal.LEASE_NOT_LIVE
    is_current = task.state is TaskState.LEASED and task.attempt == lease.attempt
    is_other_hash = None not in {event.task_hash, task.task_hash} and event.task_hash != task.task_hash
    # The first that applies: authority comes before content.
    checks = (
        (lease.agent_id != slice_.agent.agent_id, ReportRefusal.NOT_YOUR_LEASE),
        (event.attempt != lease.attempt, ReportRefusal.ATTEMPT_NOT_CURRENT),
        (not lease.is_live or not is_current, ReportRefusal.LEASE_NOT_LIVE),
        (is_other_hash, ReportRefusal.HASH_DIFFERS),
        (event.artifact_id is not None and slice_.artifact is None, ReportRefusal.ARTIFACT_MISSING),
    )
    return next((refusal for applies, refusal in checks if applies), None)


def _is_repeated(slice_: ReportSlice, event: TaskReported) -> bool:
    """Word for word the report that was accepted: its answer was lost on the way."""
    lease = slice_.lease
    return (
        lease is not None
        and lease.state is LeaseState.REPORTED
        and (lease.agent_id, lease.attempt) == (slice_.agent.agent_id, event.attempt)
        and lease.reported == _in_short(event)
    )


def _in_short(event: TaskReported) -> str:
    return f"{event.outcome.value} {event.code} {event.artifact_id or '-'}"


def _refuse(
    draft: Draft, slice_: ReportSlice, event: TaskReported, refusal: ReportRefusal
) -> Decision[ReportAnswer]:
    what = slice_.task.task_id if slice_.task else f"lease {event.lease_id}"
    message = f"A report of agent {slice_.agent.name} on {what} was refused, because {_WHY_REFUSED[refusal]}."
    draft.tell(
        EventKind.REPORT_REFUSED,
        message,
        reason=refusal.value,
        task=slice_.task,
        lease=slice_.lease,
        agent=slice_.agent,
    )
    draft.effects.count(Counter.REPORTS_REFUSED, reason=refusal.value)
    return draft.decision(ReportAnswer(lease_id=event.lease_id, is_accepted=False, refusal=refusal))


# ----------------------------------------------------------------------------------------- accepting
def _accept(draft: Draft, slice_: ReportSlice, event: TaskReported, lease: Lease, task: Task) -> None:
    reported = leases.end(draft, lease, LeaseState.REPORTED, reported=_in_short(event))
    draft.effects.count(Counter.TASK_ATTEMPTS, reason=event.outcome.value)
    stored = slice_.artifact if event.artifact_id is not None else None
    ended = replace(
        task,
        code=event.code,
        nx_status=event.nx_status,
        task_hash=task.task_hash or event.task_hash,
        artifact=ArtifactRef(artifact_id=stored.artifact_id, size=stored.size) if stored else None,
        started_at=event.started_at or lease.granted_at,
        ended_at=event.ended_at or draft.now,
    )
    match event.outcome:
        case ReportOutcome.SUCCEEDED:
            done = replace(ended, outcome=TaskOutcome.SUCCEEDED)
            tasks.finish(draft, done, message=_sentence(done, slice_.agent.name, None), lease=reported)
            tasks.unblock(draft, slice_.dependents)
            _remember(draft, done, event, draft.invocation_of(task), stored)
        case ReportOutcome.FAILED:
            _fail(draft, slice_, event, ended, reported)
        case ReportOutcome.NOT_STORED:
            _could_not_be_stored(draft, slice_, event, task, reported)
        case _:
            assert_never(event.outcome)


def _fail(draft: Draft, slice_: ReportSlice, event: TaskReported, ended: Task, lease: Lease) -> None:
    failed = replace(ended, outcome=TaskOutcome.FAILED, reason=FailureReason.TASK_FAILED)
    if event.message is None:  # else the agent tells of itself: no word about what the task does
        _remember_outcome(draft, failed, event, is_success=False)
    if slice_.is_known_flaky and _may_try_again(draft, failed):
        name = slice_.agent.name
        happened = (
            f"{failed.task_id} failed with exit code {failed.code} on agent {name}, but is known to be flaky"
        )
        before = draft.tasks.get(failed.key)
        back = replace(
            before,
            task_hash=failed.task_hash,
            failed_attempts=before.failed_attempts + 1,
            avoid_agent_id=slice_.agent.agent_id,
        )
        leases.requeue(draft, back, lease, happened, FailureReason.FLAKY_RETRY)
        draft.effects.count(Counter.FLAKY_TASKS)
        draft.wake_agents()
        return
    tasks.finish(draft, failed, message=_sentence(failed, slice_.agent.name, event.message), lease=lease)
    tasks.failure_spreads(draft, failed, slice_.doomed)


def _may_try_again(draft: Draft, task: Task) -> bool:
    """Two tries in all, and no more attempts than any task may have."""
    is_last = task.failed_attempts > 0 or task.attempt >= draft.context.limits.max_attempts
    return not is_last and not draft.invocation_of(task).has_bailed


def _could_not_be_stored(
    draft: Draft, slice_: ReportSlice, event: TaskReported, task: Task, lease: Lease
) -> None:
    why = (event.message or f"agent {slice_.agent.name} does not say why").rstrip(".")
    message = (
        f"{task.task_id}'s outputs could not be stored: {why}; the main job runs it and what depends on it."
    )
    tasks.leave_to_main(
        draft, task, slice_.doomed, reason=FailureReason.NOT_STORED, message=message, lease=lease
    )


def _sentence(task: Task, agent_name: str, why: str | None) -> str:
    duration = f"{tasks.seconds_between(task.started_at, task.ended_at):.1f} s"
    if task.outcome is TaskOutcome.SUCCEEDED:
        return f"{task.task_id} succeeded on agent {agent_name} in {duration}."
    ending = f": {why}" if why else "."
    return f"{task.task_id} failed with exit code {task.code} on agent {agent_name} after {duration}{ending}"


def _remember(
    draft: Draft, task: Task, event: TaskReported, invocation: Invocation, stored: Artifact | None
) -> None:
    """What other runs gain by this success: its duration, and its outputs where they may be served again."""
    run = draft.run
    if event.nx_status in _RAN:
        _remember_outcome(draft, task, event, is_success=True)
    if event.nx_status in _RAN and not task.is_noop and event.started_at is not None:
        key = DurationKey(task.project, task.target, task.configuration)
        duration_s = tasks.seconds_between(task.started_at, task.ended_at)
        draft.learn(facts.DurationLearned(workspace_id=run.workspace_id, key=key, duration_s=duration_s))
    if stored is None or task.task_hash is None or not task.is_cacheable or invocation.skip_nx_cache:
        return
    is_trusted = _is_trusted(draft, event)
    draft.learn(
        facts.CacheEntryAdded(
            entry=CacheEntry(
                workspace_id=run.workspace_id,
                scope=CacheScope.SHARED if is_trusted else CacheScope.RUN,
                scope_id="" if is_trusted else run.ci_run_id,
                task_hash=task.task_hash,
                artifact_id=stored.artifact_id,
                size=stored.size,
                code=event.code,
                producer_ci_run_id=run.ci_run_id,
                producer_job_id=run.job_id,
                producer_ref=run.branch,
                created_at=draft.now,
                last_used_at=draft.now,
            )
        )
    )


def _remember_outcome(draft: Draft, task: Task, event: TaskReported, *, is_success: bool) -> None:
    """A hash that ends now so, now so, is flaky. Nobody untrusted can make a trusted run try again."""
    if task.task_hash is not None and not task.is_noop and _is_trusted(draft, event):
        draft.learn(
            facts.HashOutcomeLearned(
                workspace_id=draft.run.workspace_id, task_hash=task.task_hash, is_success=is_success
            )
        )


def _is_trusted(draft: Draft, event: TaskReported) -> bool:
    """Both who opened the run and who reports must be allowed to write what others read."""
    return {draft.run.token_access, event.token_access} == {TokenAccess.READ_WRITE}

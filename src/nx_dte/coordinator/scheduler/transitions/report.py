"""The report: accepted once from whoever holds the lease, else refused and nothing changes."""

from dataclasses import replace

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
    lease, task = slice_.lease, slice_.task
    if lease is None or task is None or lease.state is not LeaseState.REPORTED or task.outcome is None:
        return False
    stored = task.artifact.artifact_id if task.artifact else None
    return (lease.agent_id, lease.attempt, task.outcome.value, task.code, stored) == (
        slice_.agent.agent_id,
        event.attempt,
        event.outcome.value,
        event.code,
        event.artifact_id,
    )


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
    reported = leases.end(draft, lease, LeaseState.REPORTED)
    is_success = event.outcome is ReportOutcome.SUCCEEDED
    stored = slice_.artifact if event.artifact_id is not None else None
    done = replace(
        task,
        outcome=TaskOutcome.SUCCEEDED if is_success else TaskOutcome.FAILED,
        reason=None if is_success else FailureReason.TASK_FAILED,
        code=event.code,
        nx_status=event.nx_status,
        task_hash=task.task_hash or event.task_hash,
        artifact=ArtifactRef(artifact_id=stored.artifact_id, size=stored.size) if stored else None,
        started_at=event.started_at or lease.granted_at,
        ended_at=event.ended_at or draft.now,
    )
    tasks.finish(draft, done, message=_sentence(done, slice_.agent.name, event.message), lease=reported)
    draft.effects.count(Counter.TASK_ATTEMPTS, reason=event.outcome.value)
    if is_success:
        tasks.unblock(draft, slice_.dependents)
        _remember(draft, done, event, draft.invocation_of(task), stored)
    else:
        tasks.failure_spreads(draft, done, slice_.doomed)


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
    if event.nx_status in _RAN and not task.is_noop and event.started_at is not None:
        key = DurationKey(task.project, task.target, task.configuration)
        duration_s = tasks.seconds_between(task.started_at, task.ended_at)
        draft.learn(facts.DurationLearned(workspace_id=run.workspace_id, key=key, duration_s=duration_s))
    if stored is None or task.task_hash is None or not task.is_cacheable or invocation.skip_nx_cache:
        return
    # Both who opened the run and who reports must be allowed to write what others read.
    is_trusted = {run.token_access, event.token_access} == {TokenAccess.READ_WRITE}
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
            )
        )
    )

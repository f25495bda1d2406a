"""Moves a pipeline on: which created jobs become pending, manual or skipped, and what the pipeline's state is."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from tests.support.gitlab.records import Job, JobStatus, Pipeline

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.support.gitlab.instance import Instance

__all__ = ["composite", "needed_jobs", "process", "reprocess"]

S = JobStatus
_WITH_WARNINGS = "success_with_warnings"
_IGNORED = "ignored"


def process(instance: Instance, pipeline: Pipeline) -> None:
    """Go through the created jobs in the order of stages and needs until nothing changes."""
    while _pass(instance, pipeline):
        pass
    _give_resources(instance)
    _start_delayed(instance, pipeline)
    status = composite(pipeline.latest)
    if status.is_completed and not pipeline.status.is_completed:
        pipeline.finished_at = instance.now()
    elif not status.is_completed:
        pipeline.finished_at = None
    if pipeline.started_at is None and any(job.started_at for job in pipeline.jobs):
        pipeline.started_at = instance.now()
    pipeline.status = status


def reprocess(job: Job, user_job: Job | None = None) -> None:
    """A skipped job is looked at again, as if the pipeline had just come to it."""
    if job.status is S.SKIPPED:
        job.status = S.CREATED
        job.finished_at = None
        if user_job is not None:
            job.user = user_job.user


def composite(jobs: Iterable[Job], *, is_for_needs: bool = False) -> JobStatus:
    """One state for many jobs; the order of the questions is GitLab's."""
    found = {_seen(job) for job in jobs}
    if not found:
        return S.SUCCESS

    def only(*names: str) -> bool:
        return found <= set(names)

    if is_for_needs and found & {S.SKIPPED, _IGNORED}:
        return S.SKIPPED
    if is_for_needs and not only(S.SUCCESS, S.FAILED, S.CANCELED, S.SKIPPED, _WITH_WARNINGS):
        return S.PENDING
    quiet = (_WITH_WARNINGS, _IGNORED)
    for names, status in (
        ((S.SKIPPED, _IGNORED), S.SKIPPED),
        ((S.SUCCESS, S.SKIPPED, *quiet), S.SUCCESS),
        ((S.CREATED, *quiet), S.CREATED),
        ((S.PREPARING, *quiet), S.PREPARING),
        ((S.CANCELED, S.SUCCESS, S.SKIPPED, *quiet), S.CANCELED),
        ((S.PENDING, S.CREATED, S.SKIPPED, *quiet), S.PENDING),
    ):
        if only(*names):
            return status
    for alive, status in (
        ({S.CANCELING}, S.CANCELING),
        ({S.RUNNING, S.PENDING}, S.RUNNING),
        ({S.WAITING_FOR_RESOURCE}, S.WAITING_FOR_RESOURCE),
        ({S.MANUAL}, S.MANUAL),
        ({S.SCHEDULED}, S.SCHEDULED),
        ({S.PREPARING}, S.PREPARING),
        ({S.CREATED}, S.RUNNING),
    ):
        if found & alive:
            return status
    return S.FAILED


def _seen(job: Job) -> str:
    if job.allow_failure and job.status in {S.FAILED, S.CANCELED}:
        return _WITH_WARNINGS
    if job.allow_failure and job.status is S.MANUAL:
        return _IGNORED
    return job.status


def needed_jobs(job: Job) -> list[Job]:
    """The newest rows of what `needs:` names; a parallel job's name means all its copies."""
    names = {need.job for need in job.spec.needs or ()}
    return [other for other in job.pipeline.latest if other.name in names or other.spec.base_name in names]


def _pass(instance: Instance, pipeline: Pipeline) -> bool:
    changed = False
    for job in sorted(pipeline.latest, key=lambda job: job.stage_index):
        if job.status is not S.CREATED:
            continue
        is_by_needs = job.spec.needs is not None
        if is_by_needs:
            previous = composite(needed_jobs(job), is_for_needs=bool(job.spec.needs))
        else:
            previous = composite([other for other in pipeline.latest if other.stage_index < job.stage_index])
        if not previous.is_completed:
            continue
        if previous in _welcome(job, is_by_needs=is_by_needs):
            _let_in(instance, job)
        else:
            job.status = S.SKIPPED
            job.finished_at = None
        changed = True
    return changed


def _welcome(job: Job, *, is_by_needs: bool) -> set[JobStatus]:
    if job.spec.when in {"on_success", "manual", "delayed"}:
        return {S.SUCCESS} if is_by_needs else {S.SUCCESS, S.SKIPPED}
    if job.spec.when == "on_failure":
        return {S.FAILED}
    return {S.SUCCESS, S.FAILED, S.SKIPPED}


def _let_in(instance: Instance, job: Job) -> None:
    if job.spec.when == "manual" and not job.is_enqueued_at_once:
        job.status = S.MANUAL
    elif job.spec.when == "delayed" and not job.is_enqueued_at_once:
        job.status = S.SCHEDULED
        job.queued_at = instance.now() + timedelta(seconds=job.spec.start_in_s or 0)
    elif job.spec.resource_group:
        job.status = S.WAITING_FOR_RESOURCE
    else:
        enqueue(instance, job)


def enqueue(instance: Instance, job: Job) -> None:
    """Put it where runners find it."""
    job.status = S.PENDING
    job.queued_at = instance.now()
    instance.tick_queue()


def _give_resources(instance: Instance) -> None:
    """Of each project's resource group one job at a time, the oldest first."""
    waiting = [job for job in instance.jobs.values() if job.status is S.WAITING_FOR_RESOURCE]
    for job in waiting:
        holds = any(
            other.project is job.project
            and other.spec.resource_group == job.spec.resource_group
            and other.status in {S.PENDING, S.RUNNING, S.CANCELING, S.PREPARING}
            for other in instance.jobs.values()
        )
        if not holds:
            enqueue(instance, job)


def _start_delayed(instance: Instance, pipeline: Pipeline) -> None:
    for job in pipeline.latest:
        if job.status is S.SCHEDULED and job.queued_at is not None and job.queued_at <= instance.now():
            enqueue(instance, job)

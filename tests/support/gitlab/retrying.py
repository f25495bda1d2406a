"""Retry, of one job or of a pipeline: rows are cloned within the same pipeline, skipped jobs are looked at again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.gitlab import processing
from tests.support.gitlab.errors import ApiError, forbidden
from tests.support.gitlab.records import Job, JobStatus, Pipeline, User
from tests.support.gitlab.rows import clone_job

if TYPE_CHECKING:
    from tests.support.gitlab.instance import Instance

__all__ = ["play", "retry_job", "retry_pipeline"]


def retry_pipeline(instance: Instance, pipeline: Pipeline, user: User) -> None:
    """Clone every newest row that failed or was cancelled (allowed failures too), then start the pipeline.

    Green jobs stay as they are. All clones are made before any of them may start.
    """
    for job in pipeline.latest:
        if job.status in {JobStatus.FAILED, JobStatus.CANCELED} and job.is_retryable:
            clone_job(instance, job, user)
    for job in pipeline.latest:
        processing.reprocess(job)
    processing.process(instance, pipeline)


def retry_job(instance: Instance, job: Job, user: User) -> Job:
    """Clone this row only; jobs after it that were skipped are looked at again.

    Raises:
        ApiError: 403, the row has a newer one or has not ended.
    """
    if not job.is_retryable:
        raise forbidden("Job is not retryable")
    clone = clone_job(instance, job, user)
    clone.is_enqueued_at_once = clone.spec.when in {"manual", "delayed"}
    for other in job.pipeline.latest:
        if other.stage_index > job.stage_index or _comes_after(other, job):
            processing.reprocess(other, clone)
    processing.process(instance, job.pipeline)
    return clone


def play(instance: Instance, job: Job, user: User) -> Job:
    """Start a manual job; a finished one is retried.

    Raises:
        ApiError: 400, it is not a manual job.
    """
    if job.status is JobStatus.MANUAL:
        job.user = user
        job.is_enqueued_at_once = True
        job.status = JobStatus.CREATED
        for other in job.pipeline.latest:
            if other.stage_index > job.stage_index or _comes_after(other, job):
                processing.reprocess(other, job)
        processing.process(instance, job.pipeline)
        return job
    if job.spec.when == "manual" and job.is_retryable:
        return retry_job(instance, job, user)
    raise ApiError(400, "400 Bad request - Unplayable Job")


def _comes_after(job: Job, earlier: Job) -> bool:
    """Whether `needs:` leads, over any number of jobs, from the one to the other's name."""
    seen: set[int] = set()
    waiting = [job]
    while waiting:
        current = waiting.pop()
        if current.id in seen:
            continue
        seen.add(current.id)
        for needed in processing.needed_jobs(current):
            if needed.name == earlier.name:
                return True
            waiting.append(needed)
    return False

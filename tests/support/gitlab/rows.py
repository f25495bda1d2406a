"""Job rows: the first of a name and the clones that retries make."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.gitlab.records import Job

if TYPE_CHECKING:
    from tests.support.gitlab.ci_file.job_spec import JobSpec
    from tests.support.gitlab.instance import Instance
    from tests.support.gitlab.records import Pipeline, User

__all__ = ["add_job", "clone_job"]


def add_job(instance: Instance, pipeline: Pipeline, spec: JobSpec, user: User, stage_index: int) -> Job:
    """A new row, in state created."""
    job = Job(
        id=instance.next_id("job"),
        token=instance.new_token("glcbt-64_"),
        pipeline=pipeline,
        spec=spec,
        user=user,
        created_at=instance.now(),
        stage_index=stage_index,
        allow_failure=spec.allow_failure,
    )
    pipeline.jobs.append(job)
    instance.jobs[job.id] = job
    return job


def clone_job(instance: Instance, job: Job, user: User) -> Job:
    """The next row of a name.

    Everything the file says goes along, and `allow_failure` as it is now; id, times, token and artifacts do not.
    """
    clone = add_job(instance, job.pipeline, job.spec, user, job.stage_index)
    clone.allow_failure = job.allow_failure
    job.is_retried = True
    return clone

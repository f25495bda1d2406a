"""How a job comes to its end: success, failure with GitLab's automatic retry, cancel, a lost host."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support.gitlab import processing
from tests.support.gitlab.records import Job, JobStatus, Runner, RunnerManager
from tests.support.gitlab.retrying import retry_job

if TYPE_CHECKING:
    from tests.support.gitlab.instance import Instance

__all__ = ["STUCK", "cancel", "cancel_pipeline", "fail", "lose", "run", "succeed"]

S = JobStatus
STUCK = "stuck_or_timeout_failure"
FAILURE_REASONS = (
    "unknown_failure", "script_failure", "api_failure", STUCK, "runner_system_failure",
    "missing_dependency_failure", "runner_unsupported", "stale_schedule", "job_execution_timeout",
    "archived_failure", "unmet_prerequisites", "scheduler_failure", "data_integrity_failure",
    "forward_deployment_failure", "user_blocked", "project_deleted", "ci_quota_exceeded",
    "pipeline_loop_detected", "no_matching_runner", "trace_size_exceeded", "builds_disabled",
    "environment_creation_failure", "deployment_rejected", "failed_outdated_deployment_job",
    "image_pull_failure", "job_canceled", "runner_interrupted",
)  # fmt: skip
_DEFAULT_RETRIES = {"scheduler_failure": 2}
_NEVER_RETRIED = {
    "ci_quota_exceeded", "no_matching_runner", "missing_dependency_failure", "forward_deployment_failure",
    "environment_creation_failure",
}  # fmt: skip


def run(instance: Instance, job: Job, runner: Runner, manager: RunnerManager | None) -> None:
    """A runner has it: from the moment it is handed out."""
    job.status = S.RUNNING
    job.runner = runner
    job.manager = manager
    job.started_at = job.updated_at = instance.now()
    processing.process(instance, job.pipeline)


def succeed(instance: Instance, job: Job) -> None:
    """Its runner reports success; a job that is being cancelled stays cancelled."""
    _end(instance, job, S.CANCELED if job.status is S.CANCELING else S.SUCCESS)
    processing.process(instance, job.pipeline)


def fail(instance: Instance, job: Job, reason: str | None, exit_code: int | None = None) -> None:
    """Its runner reports failure, or GitLab drops it. May make the next row at once (`retry:`)."""
    if job.status is S.CANCELING:
        _end(instance, job, S.CANCELED)
        processing.process(instance, job.pipeline)
        return
    job.failure_reason = reason if reason in FAILURE_REASONS else "unknown_failure"
    job.exit_code = exit_code
    if exit_code is not None and exit_code in job.spec.allowed_exit_codes:
        job.allow_failure = True
    _end(instance, job, S.FAILED)
    if _is_retried_by_itself(job):
        retry_job(instance, job, job.user)
    processing.process(instance, job.pipeline)


def cancel(instance: Instance, job: Job) -> None:
    """Cancel one job. One on a runner that can do it gracefully is `canceling` until the runner has reported."""
    if job.status is S.RUNNING and job.cancels_gracefully and instance.settings.knows_canceling:
        job.status = S.CANCELING
    else:
        _end(instance, job, S.CANCELED)


def cancel_pipeline(instance: Instance, jobs: list[Job]) -> None:
    """Cancel what can be cancelled."""
    for job in jobs:
        if job.status.is_cancelable:
            cancel(instance, job)
    for pipeline in {job.pipeline.id: job.pipeline for job in jobs}.values():
        processing.process(instance, pipeline)


def lose(instance: Instance, job: Job) -> None:
    """What GitLab does after an hour of silence from a job's runner."""
    fail(instance, job, STUCK)


def _end(instance: Instance, job: Job, status: JobStatus) -> None:
    job.status = status
    job.finished_at = job.updated_at = instance.now()


def _is_retried_by_itself(job: Job) -> bool:
    reason = job.failure_reason or ""
    rule = job.spec.retry
    if reason in _NEVER_RETRIED:
        return False
    is_covered = reason in rule.when or "always" in rule.when or job.exit_code in rule.exit_codes
    maximum = rule.max if is_covered else _DEFAULT_RETRIES.get(reason, 0)
    return job.is_retryable and maximum > job.retries

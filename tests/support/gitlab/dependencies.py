"""Whose artifacts and dotenv variables a job gets: always those of the newest rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.gitlab.instance import Instance
    from tests.support.gitlab.records import Job

__all__ = ["are_valid", "dependencies", "dotenv_variables"]


def dependencies(job: Job) -> list[Job]:
    """Earlier stages' jobs, or those of `needs:` with artifacts, narrowed by `dependencies:`."""
    spec = job.spec
    if spec.dependencies is not None and not spec.dependencies:
        return []
    if spec.needs is None:
        found = [other for other in job.pipeline.latest if other.stage_index < job.stage_index]
    else:
        names = {need.job for need in spec.needs if need.artifacts}
        found = [other for other in job.pipeline.latest if _is_called(other, names)]
    if spec.dependencies:
        found = [other for other in found if _is_called(other, set(spec.dependencies))]
    return found


def are_valid(instance: Instance, job: Job) -> bool:
    """Whether nothing the job depends on was erased or has expired."""
    now = instance.now()
    return not any(
        other.erased_at is not None
        or any(item.expire_at is not None and item.expire_at <= now for item in other.artifacts.values())
        for other in dependencies(job)
    )


def dotenv_variables(job: Job) -> dict[str, str]:
    """Variables that the jobs it depends on wrote into their dotenv reports."""
    return {key: value for other in dependencies(job) for key, value in other.dotenv.items()}


def _is_called(job: Job, names: set[str]) -> bool:
    return job.name in names or job.spec.base_name in names

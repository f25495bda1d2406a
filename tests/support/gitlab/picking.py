"""Which pending job a runner gets. The host sends no tags: they belong to its token."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from tests.support.gitlab import transitions
from tests.support.gitlab.dependencies import are_valid
from tests.support.gitlab.records import JobStatus

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.gitlab.instance import Instance
    from tests.support.gitlab.records import Job, Runner, RunnerManager

__all__ = ["may_run", "pick"]


def pick(
    instance: Instance, runner: Runner, manager: RunnerManager | None, features: Mapping[str, object]
) -> Job | None:
    """The next job for this runner, now running; None when there is none.

    By id; an instance runner first takes from the project with the fewest running jobs on instance runners.
    """
    candidates = [
        job for job in instance.jobs.values() if job.status is JobStatus.PENDING and may_run(runner, job)
    ]
    running = Counter(
        job.project.id
        for job in instance.jobs.values()
        if job.is_on_runner and job.runner is not None and job.runner.runner_type == "instance_type"
    )
    is_fair = runner.runner_type == "instance_type"
    for job in sorted(candidates, key=lambda job: (running[job.project.id] if is_fair else 0, job.id)):
        if not are_valid(instance, job):
            transitions.fail(instance, job, "missing_dependency_failure")
            continue
        job.cancels_gracefully = bool(features.get("cancel_gracefully"))
        transitions.run(instance, job, runner, manager)
        return job
    return None


def may_run(runner: Runner, job: Job) -> bool:
    """Whether the runner is for the job's project, ref and tags."""
    project = job.project
    is_reachable = (
        runner.runner_type == "instance_type"
        or (runner.runner_type == "group_type" and project.namespace_id in runner.group_ids)
        or (runner.runner_type == "project_type" and project.id in runner.project_ids)
    )
    if not is_reachable:
        return False
    if runner.access_level == "ref_protected" and not job.pipeline.is_protected:
        return False
    if not job.spec.tags:
        return runner.run_untagged
    return set(job.spec.tags) <= set(runner.tag_list)

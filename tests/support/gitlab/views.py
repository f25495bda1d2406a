"""The JSON of GitLab's REST entities."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tests.support.gitlab.records import JobStatus

if TYPE_CHECKING:
    from datetime import datetime

    from tests.support.gitlab.instance import Instance
    from tests.support.gitlab.records import Job, MergeRequest, Pipeline, Project, Runner, User

__all__ = [
    "contact_status",
    "job_view",
    "merge_request_view",
    "pipeline_view",
    "project_view",
    "runner_details",
    "runner_view",
    "time",
    "user_view",
]

_ONLINE = timedelta(hours=2)
_STALE = timedelta(days=7)


def time(value: datetime | None) -> str | None:
    """As GitLab writes times: UTC, milliseconds, `Z`."""
    return value.strftime("%Y-%m-%dT%H:%M:%S.") + f"{value.microsecond // 1000:03d}Z" if value else None


def user_view(instance: Instance, user: User) -> dict[str, Any]:
    """A user."""
    return {
        "id": user.id,
        "username": user.username,
        "name": user.name,
        "state": "active",
        "locked": False,
        "web_url": f"{instance.url}/{user.username}",
    }


def project_view(instance: Instance, project: Project) -> dict[str, Any]:
    """A project."""
    return {
        "id": project.id,
        "name": project.name,
        "path": project.name,
        "path_with_namespace": project.path,
        "default_branch": project.default_branch,
        "visibility": project.visibility,
        "namespace": {"id": project.namespace_id, "full_path": project.namespace, "kind": "group"},
        "http_url_to_repo": f"{instance.url}/{project.path}.git",
        "web_url": f"{instance.url}/{project.path}",
    }


def merge_request_view(instance: Instance, request: MergeRequest) -> dict[str, Any]:
    """A merge request."""
    return {
        "id": request.id,
        "iid": request.iid,
        "project_id": request.project.id,
        "title": request.title,
        "state": request.state,
        "source_branch": request.source_branch,
        "target_branch": request.target_branch,
        "web_url": f"{instance.url}/{request.project.path}/-/merge_requests/{request.iid}",
    }


def pipeline_view(instance: Instance, pipeline: Pipeline) -> dict[str, Any]:
    """A pipeline as lists show it."""
    return {
        "id": pipeline.id,
        "iid": pipeline.iid,
        "project_id": pipeline.project.id,
        "name": pipeline.name,
        "sha": pipeline.sha,
        "ref": pipeline.ref,
        "status": pipeline.status.value,
        "source": pipeline.source,
        "created_at": time(pipeline.created_at),
        "updated_at": time(pipeline.finished_at or pipeline.started_at or pipeline.created_at),
        "web_url": f"{instance.url}/{pipeline.project.path}/-/pipelines/{pipeline.id}",
    }


def pipeline_details(instance: Instance, pipeline: Pipeline) -> dict[str, Any]:
    """A pipeline by itself."""
    return pipeline_view(instance, pipeline) | {
        "before_sha": pipeline.before_sha,
        "tag": pipeline.is_tag,
        "yaml_errors": None,
        "user": user_view(instance, pipeline.user),
        "started_at": time(pipeline.started_at),
        "finished_at": time(pipeline.finished_at),
        "committed_at": None,
        "duration": _between(pipeline.started_at, pipeline.finished_at),
    }


def job_view(instance: Instance, job: Job) -> dict[str, Any]:
    """A job."""
    view = {
        "id": job.id,
        "status": job.status.value,
        "stage": job.spec.stage,
        "name": job.name,
        "ref": job.pipeline.ref,
        "tag": job.pipeline.is_tag,
        "coverage": None,
        "allow_failure": job.allow_failure,
        "created_at": time(job.created_at),
        "started_at": time(job.started_at),
        "finished_at": time(job.finished_at),
        "erased_at": time(job.erased_at),
        "duration": _between(job.started_at, job.finished_at or instance.now()),
        "queued_duration": _between(job.queued_at, job.started_at or instance.now()),
        "user": user_view(instance, job.user),
        "commit": {"id": job.pipeline.sha, "short_id": job.pipeline.sha[:8]},
        "pipeline": pipeline_view(instance, job.pipeline),
        "web_url": f"{instance.url}/{job.project.path}/-/jobs/{job.id}",
        "project": {"ci_job_token_scope_enabled": False},
        "artifacts": [
            {
                "file_type": item.file_type,
                "size": len(item.content),
                "filename": item.filename,
                "file_format": item.file_format,
            }
            for item in job.artifacts.values()
        ],
        "runner": runner_view(instance, job.runner) if job.runner else None,
        "tag_list": list(job.spec.tags),
        "artifacts_expire_at": None,
        "archived": False,
    }
    if job.status is JobStatus.FAILED:
        view["failure_reason"] = job.failure_reason
    if archive := job.artifacts.get("archive"):
        view["artifacts_file"] = {"filename": archive.filename, "size": len(archive.content)}
        view["artifacts_expire_at"] = time(archive.expire_at)
    return view


def contact_status(contacted_at: datetime | None, now: datetime) -> str:
    """GitLab's word for how long ago somebody was heard of: two hours, a week."""
    if contacted_at is None:
        return "never_contacted"
    silence = now - contacted_at
    return "online" if silence < _ONLINE else "offline" if silence < _STALE else "stale"


def runner_view(instance: Instance, runner: Runner) -> dict[str, Any]:
    """A runner as lists show it."""
    status = contact_status(runner.contacted_at, instance.now())
    return {
        "id": runner.id,
        "description": runner.description,
        "ip_address": None,
        "active": not runner.paused,
        "paused": runner.paused,
        "is_shared": runner.runner_type == "instance_type",
        "runner_type": runner.runner_type,
        "name": "gitlab-runner" if runner.contacted_at else None,
        "online": status == "online" if runner.contacted_at else None,
        "created_at": time(runner.created_at),
        "status": status,
    }


def runner_details(instance: Instance, runner: Runner) -> dict[str, Any]:
    """A runner by itself; its token is never shown again."""
    return runner_view(instance, runner) | {
        "tag_list": list(runner.tag_list),
        "run_untagged": runner.run_untagged,
        "locked": runner.locked,
        "maximum_timeout": runner.maximum_timeout,
        "access_level": runner.access_level,
        "maintenance_note": runner.maintenance_note,
        "contacted_at": time(runner.contacted_at),
        "projects": [
            {"id": project.id, "name": project.name, "path_with_namespace": project.path}
            for project in instance.projects.values()
            if project.id in runner.project_ids
        ],
        "groups": [
            {"id": group_id, "full_path": path}
            for path, group_id in instance.namespaces.items()
            if group_id in runner.group_ids
        ],
    }


def _between(start: datetime | None, end: datetime | None) -> float | None:
    return max(0.0, (end - start).total_seconds()) if start and end else None

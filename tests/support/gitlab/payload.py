"""What a runner gets for a job: the JSON of `POST /jobs/request`."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from tests.support.gitlab import variables
from tests.support.gitlab.ci_file.job_spec import Variable
from tests.support.gitlab.dependencies import dependencies, dotenv_variables
from tests.support.gitlab.transitions import FAILURE_REASONS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.gitlab.instance import Instance
    from tests.support.gitlab.records import Job

__all__ = ["job_payload"]

_REPORT_FILES = {"dotenv": ".env", "junit": "junit.xml"}
_AFTER_SCRIPT_TIMEOUT_S = 300


def job_payload(instance: Instance, job: Job) -> dict[str, Any]:
    """Everything a runner needs; nothing it could ask for later."""
    values = variables.for_job(instance, job, dotenv_variables(job))
    return {
        "id": job.id,
        "token": job.token,
        "allow_git_fetch": True,
        "job_info": {
            "id": job.id,
            "name": job.name,
            "stage": job.spec.stage,
            "project_id": job.project.id,
            "project_name": job.project.name,
            "pipeline_id": job.pipeline.id,
            "time_in_queue_seconds": (
                (job.started_at - job.queued_at).total_seconds() if job.started_at and job.queued_at else 0
            ),
            "project_jobs_running_on_instance_runners_count": "0",
        },
        "git_info": _git_info(job, values),
        "runner_info": {"timeout": job.timeout_s, "runner_session_url": None},
        "variables": [_variable(key, value) for key, value in values.items()],
        "steps": _steps(job),
        "hooks": [],
        "image": job.spec.image,
        "services": list(job.spec.services),
        "artifacts": _artifacts(job, values),
        "cache": _caches(instance, job, values),
        "credentials": [],
        "features": {
            "trace_sections": True,
            "token_mask_prefixes": [],
            "failure_reasons": list(FAILURE_REASONS),
        },
        "dependencies": [_dependency(other) for other in dependencies(job)],
    }


def _git_info(job: Job, values: Mapping[str, Variable]) -> dict[str, Any]:
    pipeline = job.pipeline
    given = values.get("GIT_DEPTH")
    depth = int(given.value) if given and given.value.isdigit() else job.project.git_depth
    refspecs = [f"+refs/pipelines/{pipeline.id}:refs/pipelines/{pipeline.id}"]
    if depth == 0:
        refspecs += ["+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*"]
    elif pipeline.is_tag:
        refspecs.append(f"+refs/tags/{pipeline.ref}:refs/tags/{pipeline.ref}")
    elif pipeline.merge_request is None:
        refspecs.append(f"+refs/heads/{pipeline.ref}:refs/remotes/origin/{pipeline.ref}")
    return {
        "repo_url": values["CI_REPOSITORY_URL"].value,
        "ref": pipeline.ref,
        "sha": pipeline.sha,
        "before_sha": pipeline.before_sha,
        "ref_type": "tag" if pipeline.is_tag else "branch",
        "refspecs": refspecs,
        "depth": depth,
        "repo_object_format": "sha1",
        "protected": pipeline.is_protected,
    }


def _variable(key: str, variable: Variable) -> dict[str, Any]:
    return {
        "key": key,
        "value": variable.value,
        "public": variable.is_public,
        "masked": variable.is_masked,
        "file": variable.is_file,
        "raw": variable.is_raw,
    }


def _steps(job: Job) -> list[dict[str, Any]]:
    steps: list[dict[str, Any]] = [
        {
            "name": "script",
            "script": list(job.spec.script),
            "timeout": job.timeout_s,
            "when": "on_success",
            "allow_failure": False,
        }
    ]
    if job.spec.after_script:
        steps.append(
            {
                "name": "after_script",
                "script": list(job.spec.after_script),
                "timeout": _AFTER_SCRIPT_TIMEOUT_S,
                "when": "always",
                "allow_failure": True,
            }
        )
    return steps


def _artifacts(job: Job, values: Mapping[str, Variable]) -> list[dict[str, Any]] | None:
    wanted = job.spec.artifacts
    if not wanted:
        return None
    result = []
    if wanted.get("paths") or wanted.get("untracked"):
        archive = {
            "name": _expand(wanted.get("name"), values),
            "untracked": wanted.get("untracked"),
            "paths": wanted.get("paths"),
            "when": wanted.get("when"),
            "expire_in": wanted.get("expire_in"),
            "artifact_type": "archive",
            "artifact_format": "zip",
        }
        if wanted.get("exclude"):
            archive["exclude"] = wanted["exclude"]
        result.append(archive)
    for kind, paths in (wanted.get("reports") or {}).items():
        result.append(
            {
                "name": _REPORT_FILES.get(kind, f"gl-{kind}-report.json"),
                "paths": paths if isinstance(paths, list) else [paths],
                "when": "always",
                "expire_in": wanted.get("expire_in"),
                "artifact_type": kind,
                "artifact_format": "gzip",
            }
        )
    return result


def _caches(instance: Instance, job: Job, values: Mapping[str, Variable]) -> list[dict[str, Any]]:
    suffix = "protected" if job.pipeline.is_protected else "non_protected"
    return [
        {
            "key": f"{_cache_key(instance, job, cache.get('key', 'default'), values)}-{suffix}",
            "untracked": bool(cache.get("untracked", False)),
            "unprotect": bool(cache.get("unprotect", False)),
            "policy": _expand(cache.get("policy"), values) or "pull-push",
            "paths": list(cache.get("paths") or ()),
            "when": cache.get("when", "on_success"),
            "fallback_keys": [f"{_expand(key, values)}-{suffix}" for key in cache.get("fallback_keys") or ()],
        }
        for cache in job.spec.caches
    ]


def _cache_key(instance: Instance, job: Job, key: object, values: Mapping[str, Variable]) -> str:
    if not isinstance(key, dict):
        return (_expand(str(key), values) or "default").replace("/", "%2F")
    repository = instance.repository_of(job.project)
    commits = sorted({repository.last_commit_of(job.pipeline.sha, path) for path in key["files"]} - {""})
    # GitLab's own way: the newest commits that touched the files, not the files' content.
    digest = (
        hashlib.sha1("-".join(commits).encode(), usedforsecurity=False).hexdigest() if commits else "default"
    )
    prefix = _expand(key.get("prefix"), values)
    return f"{prefix}-{digest}" if prefix else digest


def _expand(text: object, values: Mapping[str, Variable]) -> str | None:
    if text is None:
        return None
    whole = variables.expanded({**values, "_": Variable(value=str(text))})
    return whole["_"].value


def _dependency(job: Job) -> dict[str, Any]:
    entry: dict[str, Any] = {"id": job.id, "name": job.name, "token": job.token}
    archive = job.artifacts.get("archive")
    if archive is not None:
        entry["artifacts_file"] = {"filename": archive.filename, "size": len(archive.content)}
    return entry

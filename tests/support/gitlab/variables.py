"""Predefined variables, the order in which variables win, and expansion."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.support.gitlab.ci_file.job_spec import Variable
from tests.support.gitlab.id_tokens import claims

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.support.gitlab.instance import Instance
    from tests.support.gitlab.records import Job, MergeRequest, Pipeline, Project

__all__ = ["expanded", "for_job", "for_pipeline", "plain", "slug"]

_USE = re.compile(r"\$\$|\$\{(\w+)\}|\$(\w+)")
_MAX_PASSES = 10
_SLUG_LENGTH = 63
SERVER_VERSION = "18.5.0"


def plain(variables: Mapping[str, Variable]) -> dict[str, str]:
    """Only the values."""
    return {key: variable.value for key, variable in variables.items()}


def expanded(variables: Mapping[str, Variable]) -> dict[str, Variable]:
    """`$OTHER` and `${OTHER}` replaced where the variable is not raw; undefined ones stay as they are."""
    result = {}
    for key, variable in variables.items():
        value = variable.value
        if not variable.is_raw:
            for _ in range(_MAX_PASSES):
                new = _USE.sub(lambda use: _replaced(use, variables, key), value)  # noqa: B023 - used at once
                if new == value:
                    break
                value = new
            value = value.replace("$$", "$")
        result[key] = Variable(
            value=value,
            is_raw=variable.is_raw,
            is_public=variable.is_public,
            is_masked=variable.is_masked,
            is_file=variable.is_file,
        )
    return result


def _replaced(use: re.Match[str], variables: Mapping[str, Variable], own: str) -> str:
    name = use[1] or use[2]
    if not name or name == own or name not in variables or variables[name].is_file:
        return use[0]
    return variables[name].value


def slug(text: str) -> str:
    """As CI_COMMIT_REF_SLUG: lower case, at most 63 characters, no `-` at either end."""
    return re.sub(r"[^a-z0-9]", "-", text.lower())[:_SLUG_LENGTH].strip("-")


def for_pipeline(instance: Instance, pipeline: Pipeline) -> dict[str, Variable]:
    """What `rules` see: predefined ones of the project and pipeline, then the project's own."""
    project = pipeline.project
    values = _server(instance) | _project(instance, project) | _commit(instance, pipeline)
    values |= {
        "CI_PIPELINE_ID": str(pipeline.id),
        "CI_PIPELINE_IID": str(pipeline.iid),
        "CI_PIPELINE_SOURCE": pipeline.source,
        "CI_PIPELINE_CREATED_AT": pipeline.created_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "CI_PIPELINE_URL": f"{instance.url}/{project.path}/-/pipelines/{pipeline.id}",
        "GITLAB_USER_ID": str(pipeline.user.id),
        "GITLAB_USER_LOGIN": pipeline.user.username,
        "GITLAB_USER_NAME": pipeline.user.name,
        "GITLAB_USER_EMAIL": pipeline.user.email,
    }
    if pipeline.merge_request is not None:
        values |= _merge_request(instance, pipeline, pipeline.merge_request)
    if not pipeline.is_tag and (requests := instance.open_merge_requests(project, pipeline.source_ref)[:4]):
        values["CI_OPEN_MERGE_REQUESTS"] = ",".join(
            f"{request.project.path}!{request.iid}" for request in requests
        )
    settings = {
        key: variable
        for key, variable in project.variables.items()
        if pipeline.is_protected or not variable.is_protected
    }
    return {key: Variable(value=value, is_raw=True) for key, value in values.items()} | settings


def for_job(instance: Instance, job: Job, dependencies: Mapping[str, str]) -> dict[str, Variable]:
    """All of a job's variables: later ones win, then they are expanded.

    Order: predefined, the file's, those of needed jobs' dotenv reports, the project's settings, the pipeline's own.
    """
    pipeline = job.pipeline
    shared = for_pipeline(instance, pipeline)
    project_own = {key: shared.pop(key) for key in pipeline.project.variables if key in shared}
    variables = (
        shared
        | {key: Variable(value=value, is_raw=True) for key, value in _job(instance, job).items()}
        | dict(job.spec.variables)
        | {key: Variable(value=value, is_raw=True) for key, value in dependencies.items()}
        | project_own
        | pipeline.variables
    )
    variables |= _secrets(instance, job)
    return expanded(variables | _id_tokens(instance, job, variables))


def _server(instance: Instance) -> dict[str, str]:
    scheme, _, rest = instance.url.partition("://")
    host, _, port = rest.partition(":")
    return {
        "CI": "true",
        "GITLAB_CI": "true",
        "CI_SERVER": "yes",
        "CI_SERVER_NAME": "GitLab",
        "CI_SERVER_URL": instance.url,
        "CI_SERVER_HOST": host,
        "CI_SERVER_FQDN": rest,
        "CI_SERVER_PORT": port or ("443" if scheme == "https" else "80"),
        "CI_SERVER_PROTOCOL": scheme,
        "CI_SERVER_VERSION": SERVER_VERSION,
        "CI_SERVER_VERSION_MAJOR": SERVER_VERSION.split(".", maxsplit=1)[0],
        "CI_SERVER_VERSION_MINOR": SERVER_VERSION.split(".")[1],
        "CI_API_V4_URL": f"{instance.url}/api/v4",
        "CI_API_GRAPHQL_URL": f"{instance.url}/api/graphql",
    }


def _project(instance: Instance, project: Project) -> dict[str, str]:
    return {
        "CI_PROJECT_ID": str(project.id),
        "CI_PROJECT_NAME": project.name,
        "CI_PROJECT_TITLE": project.name,
        "CI_PROJECT_PATH": project.path,
        "CI_PROJECT_PATH_SLUG": slug(project.path),
        "CI_PROJECT_NAMESPACE": project.namespace,
        "CI_PROJECT_NAMESPACE_ID": str(project.namespace_id),
        "CI_PROJECT_ROOT_NAMESPACE": project.namespace.partition("/")[0],
        "CI_PROJECT_URL": f"{instance.url}/{project.path}",
        "CI_PROJECT_VISIBILITY": project.visibility,
        "CI_DEFAULT_BRANCH": project.default_branch,
        "CI_CONFIG_PATH": ".gitlab-ci.yml",
    }


def _commit(instance: Instance, pipeline: Pipeline) -> dict[str, str]:
    values = {
        "CI_COMMIT_SHA": pipeline.sha,
        "CI_COMMIT_SHORT_SHA": pipeline.sha[:8],
        "CI_COMMIT_BEFORE_SHA": pipeline.before_sha,
        "CI_COMMIT_REF_NAME": pipeline.source_ref,
        "CI_COMMIT_REF_SLUG": slug(pipeline.source_ref),
        "CI_COMMIT_REF_PROTECTED": "true" if pipeline.is_protected else "false",
        **instance.repository_of(pipeline.project).details(pipeline.sha),
    }
    if pipeline.is_tag:
        values["CI_COMMIT_TAG"] = pipeline.ref
    elif pipeline.merge_request is None:
        values["CI_COMMIT_BRANCH"] = pipeline.ref
    return values


def _merge_request(instance: Instance, pipeline: Pipeline, request: MergeRequest) -> dict[str, str]:
    repository = instance.repository_of(request.project)
    target_sha = repository.commit_of(request.target_branch)
    return {
        "CI_MERGE_REQUEST_ID": str(request.id),
        "CI_MERGE_REQUEST_IID": str(request.iid),
        "CI_MERGE_REQUEST_TITLE": request.title,
        "CI_MERGE_REQUEST_EVENT_TYPE": "detached",
        "CI_MERGE_REQUEST_REF_PATH": request.ref_path,
        "CI_MERGE_REQUEST_PROJECT_ID": str(request.project.id),
        "CI_MERGE_REQUEST_PROJECT_PATH": request.project.path,
        "CI_MERGE_REQUEST_PROJECT_URL": f"{instance.url}/{request.project.path}",
        "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": request.source_branch,
        "CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": "",
        "CI_MERGE_REQUEST_SOURCE_BRANCH_PROTECTED": "false",
        "CI_MERGE_REQUEST_SOURCE_PROJECT_ID": str(request.source_project.id),
        "CI_MERGE_REQUEST_SOURCE_PROJECT_PATH": request.source_project.path,
        "CI_MERGE_REQUEST_SOURCE_PROJECT_URL": f"{instance.url}/{request.source_project.path}",
        "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": request.target_branch,
        "CI_MERGE_REQUEST_TARGET_BRANCH_SHA": "",
        "CI_MERGE_REQUEST_TARGET_BRANCH_PROTECTED": (
            "true" if request.target_branch in request.project.protected_refs else "false"
        ),
        "CI_MERGE_REQUEST_DIFF_BASE_SHA": repository.merge_base(target_sha, pipeline.sha),
        "CI_MERGE_REQUEST_DIFF_ID": str(request.id),
    }


def _job(instance: Instance, job: Job) -> dict[str, str]:
    project = job.project
    values = {
        "CI_JOB_ID": str(job.id),
        "CI_JOB_NAME": job.name,
        "CI_JOB_NAME_SLUG": slug(job.name),
        "CI_JOB_STAGE": job.spec.stage,
        "CI_JOB_URL": f"{instance.url}/{project.path}/-/jobs/{job.id}",
        "CI_JOB_STARTED_AT": job.started_at.strftime("%Y-%m-%dT%H:%M:%SZ") if job.started_at else "",
        "CI_JOB_TIMEOUT": str(job.timeout_s),
        "CI_NODE_TOTAL": str(job.spec.node_total),
        "GITLAB_USER_ID": str(job.user.id),
        "GITLAB_USER_LOGIN": job.user.username,
        "GITLAB_USER_NAME": job.user.name,
        "GITLAB_USER_EMAIL": job.user.email,
    }
    if job.spec.node_index is not None:
        values["CI_NODE_INDEX"] = str(job.spec.node_index)
    if job.spec.environment:
        values["CI_ENVIRONMENT_NAME"] = job.spec.environment
        values["CI_ENVIRONMENT_SLUG"] = slug(job.spec.environment)
    if job.spec.when == "manual":
        values["CI_JOB_MANUAL"] = "true"
    if job.runner is not None:
        values |= {
            "CI_RUNNER_ID": str(job.runner.id),
            "CI_RUNNER_DESCRIPTION": job.runner.description,
            "CI_RUNNER_TAGS": str(list(job.runner.tag_list)).replace("'", '"'),
        }
    return values


def _secrets(instance: Instance, job: Job) -> dict[str, Variable]:
    scheme, _, rest = instance.url.partition("://")
    hidden = {
        "CI_JOB_TOKEN": job.token,
        "CI_BUILD_TOKEN": job.token,
        "CI_REPOSITORY_URL": f"{scheme}://gitlab-ci-token:{job.token}@{rest}/{job.project.path}.git",
    }
    return {
        key: Variable(value=value, is_raw=True, is_public=False, is_masked=key != "CI_REPOSITORY_URL")
        for key, value in hidden.items()
    }


def _id_tokens(instance: Instance, job: Job, variables: Mapping[str, Variable]) -> dict[str, Variable]:
    result = {}
    for name, audience in job.spec.id_tokens.items():
        wanted = audience if isinstance(audience, list) else [audience]
        known = dict(variables) | {f"_{index}": Variable(value=text) for index, text in enumerate(wanted)}
        resolved = expanded(known)
        audiences = [resolved[f"_{index}"].value for index in range(len(wanted))]
        payload = claims(
            job,
            audience=audiences if isinstance(audience, list) else audiences[0],
            issuer=instance.settings.issuer or instance.url,
            now=instance.now(),
        )
        result[name] = Variable(
            value=instance.signer.sign(payload), is_raw=True, is_public=False, is_masked=True
        )
    return result

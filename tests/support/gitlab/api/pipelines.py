"""Projects, pipelines and merge requests as people and scripts use them."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from tests.support.gitlab import retrying, transitions
from tests.support.gitlab.api.access import (
    caller,
    instance_of,
    own_pipeline,
    parameters,
    readable,
    truth,
    writable,
)
from tests.support.gitlab.api.paging import page_of
from tests.support.gitlab.ci_file.job_spec import Variable
from tests.support.gitlab.creation import Wanted, create, create_merge_request
from tests.support.gitlab.errors import ApiError
from tests.support.gitlab.variables import SERVER_VERSION
from tests.support.gitlab.views import (
    job_view,
    merge_request_view,
    pipeline_details,
    pipeline_view,
    project_view,
    user_view,
)

__all__ = ["router"]

router = APIRouter(prefix="/api/v4")


# ------------------------------------------------------------------------------------------ about it all
@router.get("/version")
async def version(request: Request) -> dict[str, Any]:
    """The release this stand-in follows."""
    caller(request)
    return {"version": SERVER_VERSION, "revision": "standin", "enterprise": False}


@router.get("/user")
async def current_user(request: Request) -> dict[str, Any]:
    """Who the token belongs to."""
    who = caller(request)
    return user_view(instance_of(request), who.user) | {"email": who.user.email, "is_admin": True}


@router.get("/personal_access_tokens/self")
async def current_token(request: Request) -> dict[str, Any]:
    """The token that asks, whatever its scopes."""
    who = caller(request)
    if who.access is None:
        raise ApiError(401, "401 Unauthorized")
    return {
        "name": "stand-in",
        "user_id": who.user.id,
        "scopes": sorted(who.access.scopes),
        "active": True,
        "revoked": False,
        "expires_at": None,
    }


@router.post("/projects", status_code=201)
async def create_project(request: Request) -> JSONResponse:
    """A project with an empty repository: `path` (with `namespace_path`, else `group/name` in one)."""
    values = await parameters(request)
    instance = instance_of(request)
    with instance.lock:
        caller(request).require("api")
        namespace = values.get("namespace_path")
        path = str(values.get("path") or values.get("name") or "")
        project = instance.add_project(
            f"{namespace}/{path}" if namespace else path,
            default_branch=str(values.get("default_branch", "main")),
        )
        return JSONResponse(project_view(instance, project), status_code=201)


# -------------------------------------------------------------------------------------------- pipelines
@router.get("/projects/{project_key:path}/pipelines/{pipeline_id}/jobs")
async def jobs_of_pipeline(request: Request, project_key: str, pipeline_id: int) -> Response:
    """The newest rows, or all with `include_retried`; `scope[]` filters by state. Job tokens from GitLab 18 on."""
    instance = instance_of(request)
    with instance.lock:
        is_job_allowed = instance.settings.job_token_lists_jobs
        project = readable(instance, caller(request, is_job_allowed=is_job_allowed), project_key)
        pipeline = instance.pipeline(project, pipeline_id)
        is_all = truth(request.query_params.get("include_retried", "false"))
        scopes = set(request.query_params.getlist("scope[]") or request.query_params.getlist("scope"))
        jobs = [
            job
            for job in (pipeline.jobs if is_all else pipeline.latest)
            if not scopes or job.status.value in scopes
        ]
        return page_of(request, [job_view(instance, job) for job in sorted(jobs, key=lambda job: -job.id)])


@router.get("/projects/{project_key:path}/pipelines/{pipeline_id}/variables")
async def variables_of_pipeline(request: Request, project_key: str, pipeline_id: int) -> list[dict[str, str]]:
    """What it was started with."""
    instance = instance_of(request)
    with instance.lock:
        pipeline = instance.pipeline(readable(instance, caller(request), project_key), pipeline_id)
        return [
            {"key": key, "variable_type": "env_var", "value": variable.value}
            for key, variable in pipeline.variables.items()
        ]


@router.get("/projects/{project_key:path}/pipelines/{pipeline_id}")
async def show_pipeline(request: Request, project_key: str, pipeline_id: int) -> dict[str, Any]:
    """One pipeline."""
    instance = instance_of(request)
    with instance.lock:
        project = readable(instance, caller(request, is_job_allowed=True), project_key)
        return pipeline_details(instance, instance.pipeline(project, pipeline_id))


@router.get("/projects/{project_key:path}/pipelines")
async def list_pipelines(request: Request, project_key: str) -> Response:
    """Newest first; filters `ref`, `status`, `sha`, `source`."""
    instance = instance_of(request)
    with instance.lock:
        project = readable(instance, caller(request), project_key)
        views = [
            pipeline_view(instance, pipeline)
            for pipeline in sorted(instance.pipelines.values(), key=lambda pipeline: -pipeline.id)
            if pipeline.project is project
        ]
        wanted = {
            key: value
            for key, value in request.query_params.items()
            if key in {"ref", "status", "sha", "source"}
        }
        return page_of(
            request, [view for view in views if all(view[key] == value for key, value in wanted.items())]
        )


@router.post("/projects/{project_key:path}/pipeline", status_code=201)
async def create_pipeline(request: Request, project_key: str) -> JSONResponse:
    """Run a pipeline for a ref, with `variables: [{key, value}]`. Its source is `api`."""
    values = await parameters(request)
    instance = instance_of(request)
    with instance.lock:
        who = caller(request)
        project = writable(instance, who, project_key)
        given = {item["key"]: Variable(value=str(item["value"])) for item in values.get("variables") or ()}
        wanted = Wanted(
            project=project, user=who.user, source="api", ref=str(values.get("ref", "")), variables=given
        )
        return JSONResponse(pipeline_details(instance, create(instance, wanted)), status_code=201)


@router.post("/projects/{project_key:path}/merge_requests/{iid}/pipelines", status_code=201)
async def create_merge_request_pipeline(request: Request, project_key: str, iid: int) -> JSONResponse:
    """Run a merge request pipeline for the newest commit of its source branch."""
    instance = instance_of(request)
    with instance.lock:
        who = caller(request)
        project = writable(instance, who, project_key)
        for merge_request in instance.merge_requests:
            if merge_request.project is project and merge_request.iid == iid:
                wanted = Wanted(
                    project=project, user=who.user, source="merge_request_event", merge_request=merge_request
                )
                return JSONResponse(pipeline_view(instance, create(instance, wanted)), status_code=201)
        raise ApiError(404, "404 Not found")


@router.post("/projects/{project_key:path}/merge_requests", status_code=201)
async def open_merge_request(request: Request, project_key: str) -> JSONResponse:
    """Open a merge request; no pipeline is started by it here."""
    values = await parameters(request)
    instance = instance_of(request)
    with instance.lock:
        project = writable(instance, caller(request), project_key)
        merge_request = create_merge_request(
            instance, project, values["source_branch"], values["target_branch"], values.get("title", "")
        )
        return JSONResponse(merge_request_view(instance, merge_request), status_code=201)


@router.post("/projects/{project_key:path}/pipelines/{pipeline_id}/retry", status_code=201)
async def retry_pipeline(request: Request, project_key: str, pipeline_id: int) -> JSONResponse:
    """Retry failed and cancelled jobs."""
    instance = instance_of(request)
    with instance.lock:
        pipeline, who = own_pipeline(instance, request, project_key, pipeline_id)
        retrying.retry_pipeline(instance, pipeline, who.user)
        return JSONResponse(pipeline_details(instance, pipeline), status_code=201)


@router.post("/projects/{project_key:path}/pipelines/{pipeline_id}/cancel")
async def cancel_pipeline(request: Request, project_key: str, pipeline_id: int) -> dict[str, Any]:
    """Cancel all that runs or waits."""
    instance = instance_of(request)
    with instance.lock:
        pipeline, _ = own_pipeline(instance, request, project_key, pipeline_id)
        transitions.cancel_pipeline(instance, pipeline.latest)
        return pipeline_details(instance, pipeline)


@router.get("/projects/{project_key:path}")
async def show_project(request: Request, project_key: str) -> dict[str, Any]:
    """One project; stands last, because its path takes anything."""
    instance = instance_of(request)
    with instance.lock:
        return project_view(instance, readable(instance, caller(request), project_key))

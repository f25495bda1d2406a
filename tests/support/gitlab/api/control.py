"""What no GitLab has: tests start pipelines of any source, let time pass, and lose hosts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from tests.support.gitlab import transitions
from tests.support.gitlab.api.access import caller, instance_of, parameters
from tests.support.gitlab.ci_file.job_spec import Variable
from tests.support.gitlab.creation import Wanted, create
from tests.support.gitlab.errors import ApiError
from tests.support.gitlab.records import NO_COMMIT
from tests.support.gitlab.views import job_view, pipeline_details

__all__ = ["router"]

router = APIRouter(prefix="/-/stand-in")
_SWITCHES = {
    "job_token_lists_jobs",
    "knows_canceling",
    "trace_update_interval_s",
    "issuer",
    "runner_token_lifetime_s",
}


@router.post("/projects/{project_key:path}/pipelines", status_code=201)
async def start_pipeline(request: Request, project_key: str) -> JSONResponse:
    """A pipeline of any `source`, for `ref`, `sha`, `before_sha` or `merge_request` (iid), from `ci_file` (text)."""
    values = await parameters(request)
    instance = instance_of(request)
    with instance.lock:
        who = caller(request)
        who.require("api")
        project = instance.project(project_key)
        iid = values.get("merge_request")
        requests = [item for item in instance.merge_requests if item.project is project and item.iid == iid]
        wanted = Wanted(
            project=project,
            user=who.user,
            source=str(values.get("source", "push")),
            ref=str(values.get("ref", project.default_branch)),
            sha=values.get("sha"),
            before_sha=values.get("before_sha") or NO_COMMIT,
            merge_request=requests[0] if requests else None,
            variables={
                key: Variable(value=str(value)) for key, value in (values.get("variables") or {}).items()
            },
            ci_file=values.get("ci_file"),
        )
        return JSONResponse(pipeline_details(instance, create(instance, wanted)), status_code=201)


@router.post("/jobs/{job_id}/lose")
async def lose(request: Request, job_id: int) -> dict[str, Any]:
    """GitLab gives a silent job up (really after an hour)."""
    instance = instance_of(request)
    with instance.lock:
        caller(request).require("api")
        job = instance.jobs.get(job_id)
        if job is None or not job.is_on_runner:
            raise ApiError(400, "the job is not on a runner")
        transitions.lose(instance, job)
        return job_view(instance, job)


@router.post("/clock")
async def let_pass(request: Request) -> dict[str, float]:
    """Let `seconds` pass for the instance."""
    values = await parameters(request)
    instance = instance_of(request)
    with instance.lock:
        caller(request).require("api")
        instance.let_pass(timedelta(seconds=float(values["seconds"])))
        return {"seconds": float(values["seconds"])}


@router.post("/tokens", status_code=201)
async def add_token(request: Request) -> dict[str, Any]:
    """An access token `token` with `scopes`, for the user who asks."""
    values = await parameters(request)
    instance = instance_of(request)
    with instance.lock:
        who = caller(request)
        who.require("api")
        access = instance.add_token(who.user, *values.get("scopes", ()), token=values.get("token"))
        return {"token": access.token, "scopes": sorted(access.scopes)}


@router.put("/settings")
async def change_settings(request: Request) -> dict[str, Any]:
    """Change what `instance.Settings` names."""
    values = await parameters(request)
    instance = instance_of(request)
    with instance.lock:
        caller(request).require("api")
        unknown = set(values) - _SWITCHES
        if unknown:
            raise ApiError(400, f"no such settings: {sorted(unknown)}")
        for name, value in values.items():
            setattr(instance.settings, name, value)
        return {name: getattr(instance.settings, name) for name in _SWITCHES}

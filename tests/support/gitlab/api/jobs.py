"""One job: as people and scripts see, retry, cancel and play it, and as it sees itself (`GET /job`)."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse

from tests.support.gitlab import retrying, transitions
from tests.support.gitlab.api.access import caller, instance_of, own_job, readable
from tests.support.gitlab.errors import ApiError, not_found
from tests.support.gitlab.records import JobStatus
from tests.support.gitlab.views import job_view

__all__ = ["router"]

router = APIRouter(prefix="/api/v4")


@router.get("/job")
async def current_job(request: Request) -> dict[str, Any]:
    """The job whose token this is."""
    instance = instance_of(request)
    with instance.lock:
        who = caller(request, is_job_allowed=True)
        if who.job is None:
            raise not_found("Job")
        return job_view(instance, who.job)


@router.post("/projects/{project_key:path}/jobs/{job_id}/retry", status_code=201)
async def retry_job(request: Request, project_key: str, job_id: int) -> JSONResponse:
    """Retry one job, green ones too."""
    instance = instance_of(request)
    with instance.lock:
        job, who = own_job(instance, request, project_key, job_id)
        return JSONResponse(job_view(instance, retrying.retry_job(instance, job, who.user)), status_code=201)


@router.post("/projects/{project_key:path}/jobs/{job_id}/cancel", status_code=201)
async def cancel_job(request: Request, project_key: str, job_id: int) -> JSONResponse:
    """Cancel one job."""
    instance = instance_of(request)
    with instance.lock:
        job, _ = own_job(instance, request, project_key, job_id)
        if job.status.is_cancelable or job.status is JobStatus.MANUAL:
            transitions.cancel(instance, job)
            transitions.cancel_pipeline(instance, [job])
        return JSONResponse(job_view(instance, job), status_code=201)


@router.post("/projects/{project_key:path}/jobs/{job_id}/play")
async def play_job(request: Request, project_key: str, job_id: int) -> dict[str, Any]:
    """Start a manual job."""
    instance = instance_of(request)
    with instance.lock:
        job, who = own_job(instance, request, project_key, job_id)
        return job_view(instance, retrying.play(instance, job, who.user))


@router.get("/projects/{project_key:path}/jobs/{job_id}/trace")
async def trace(request: Request, project_key: str, job_id: int) -> Response:
    """The log."""
    instance = instance_of(request)
    with instance.lock:
        job = instance.job(readable(instance, caller(request), project_key), job_id)
        return PlainTextResponse(bytes(job.trace))


@router.get("/projects/{project_key:path}/jobs/{job_id}/artifacts")
async def artifacts(request: Request, project_key: str, job_id: int) -> Response:
    """The archive; job tokens of the project are accepted."""
    instance = instance_of(request)
    with instance.lock:
        job = instance.job(readable(instance, caller(request, is_job_allowed=True), project_key), job_id)
        archive = job.artifacts.get("archive")
        if archive is None:
            raise ApiError(404, "404 Not found")
        return Response(archive.content, media_type="application/zip")


@router.delete("/projects/{project_key:path}/jobs/{job_id}/artifacts")
async def delete_artifacts(request: Request, project_key: str, job_id: int) -> Response:
    """Delete what the job uploaded; jobs that depend on it can no longer start."""
    instance = instance_of(request)
    with instance.lock:
        job, _ = own_job(instance, request, project_key, job_id)
        if job.artifacts:
            job.erased_at = instance.now()
        job.artifacts.clear()
    return Response(status_code=204)


@router.get("/projects/{project_key:path}/jobs/{job_id}")
async def show_job(request: Request, project_key: str, job_id: int) -> dict[str, Any]:
    """One job. No job token here, as with GitLab."""
    instance = instance_of(request)
    with instance.lock:
        return job_view(instance, instance.job(readable(instance, caller(request), project_key), job_id))

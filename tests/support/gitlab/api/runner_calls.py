"""What runners call: verify, jobs/request, the job's state, its trace, its artifacts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from tests.support.gitlab import transitions
from tests.support.gitlab.api.access import Sent, instance_of, parameters, require_job
from tests.support.gitlab.errors import ApiError, forbidden
from tests.support.gitlab.payload import job_payload
from tests.support.gitlab.picking import pick
from tests.support.gitlab.uploads import append_trace, store
from tests.support.gitlab.views import time

if TYPE_CHECKING:
    from tests.support.gitlab.instance import Instance
    from tests.support.gitlab.records import Runner

__all__ = ["router"]

router = APIRouter(prefix="/api/v4")


def _runner(instance: Instance, values: dict[str, Any], request: Request) -> Runner:
    """By the token of the body; runners repeat it in a header whose name has changed over the years."""
    token = str(
        values.get("token")
        or request.headers.get("runner-token")
        or request.headers.get("private-token")
        or ""
    )
    runner = instance.runner_by_token(token)
    if runner is None:
        raise forbidden()
    system_id = values.get("system_id")
    if system_id:
        manager = instance.manager(runner, str(system_id))
        if isinstance(values.get("info"), dict):
            manager.info = values["info"]
    else:
        runner.contacted_at = instance.now()
    return runner


def _job_token(values: dict[str, Any], request: Request) -> str:
    return str(
        values.get("token") or request.headers.get("job-token") or request.headers.get("private-token") or ""
    )


@router.post("/runners/verify")
async def verify(request: Request) -> JSONResponse:
    """Whether the authentication token is good; the host becomes known as a manager."""
    values = await parameters(request)
    instance = instance_of(request)
    with instance.lock:
        runner = _runner(instance, values, request)
        return JSONResponse(
            {"id": runner.id, "token": runner.token, "token_expires_at": time(runner.token_expires_at)}
        )


@router.delete("/runners/managers")
async def delete_manager(request: Request) -> Response:
    """One host leaves; the runner stays."""
    values = await parameters(request)
    instance = instance_of(request)
    with instance.lock:
        system_id = str(values.get("system_id") or "")
        if not system_id:
            raise ApiError(400, "system_id is missing")
        runner = instance.runner_by_token(
            str(values.get("token") or request.headers.get("runner-token") or "")
        )
        if runner is None:
            raise forbidden()
        if runner.managers.pop(system_id, None) is None:
            raise ApiError(404, "404 Not found - Runner manager not found")
    return Response(status_code=204)


@router.delete("/runners")
async def delete_by_token(request: Request) -> Response:
    """Remove a runner by its own token."""
    values = await parameters(request)
    instance = instance_of(request)
    with instance.lock:
        runner = _runner(instance, values, request)
        del instance.runners[runner.id]
    return Response(status_code=204)


@router.post("/runners/reset_authentication_token", status_code=201)
async def reset_own_token(request: Request) -> JSONResponse:
    """A new token for the old one."""
    values = await parameters(request)
    instance = instance_of(request)
    with instance.lock:
        runner = _runner(instance, values, request)
        instance.give_token(runner)
        return JSONResponse(
            {"token": runner.token, "token_expires_at": time(runner.token_expires_at)}, status_code=201
        )


@router.post("/jobs/request")
async def request_job(request: Request) -> Response:
    """A job for the runner (201), or none (204)."""
    values = await parameters(request)
    instance = instance_of(request)
    with instance.lock:
        runner = _runner(instance, values, request)
        version = instance.queue_version
        # `last_update` says that nothing has come since the last answer.
        if runner.paused or values.get("last_update") == version:
            return Response(status_code=204, headers={"X-GitLab-Last-Update": version})
        info = values.get("info") or {}
        manager = runner.managers.get(str(values.get("system_id")))
        job = pick(instance, runner, manager, info.get("features") or {})
        if job is None:
            return Response(status_code=204, headers={"X-GitLab-Last-Update": version})
        return JSONResponse(job_payload(instance, job), status_code=201)


@router.put("/jobs/{job_id}")
async def update_job(request: Request, job_id: int) -> Response:
    """The job's state, as its runner sees it."""
    values = await parameters(request)
    instance = instance_of(request)
    with instance.lock:
        job = require_job(instance, job_id, _job_token(values, request))
        job.updated_at = instance.now()
        state = values.get("state")
        if state == "success":
            transitions.succeed(instance, job)
        elif state == "failed":
            transitions.fail(instance, job, values.get("failure_reason"), values.get("exit_code"))
        elif state != "running":
            raise ApiError(400, "400 Bad request - Unknown state")
        return JSONResponse(
            200,
            headers={
                "Job-Status": job.status.value,
                "X-GitLab-Trace-Update-Interval": str(instance.settings.trace_update_interval_s),
            },
        )


@router.patch("/jobs/{job_id}/trace")
async def patch_trace(request: Request, job_id: int) -> Response:
    """A piece of the trace; the answer says how much there is, and the job's state."""
    content = await request.body()
    instance = instance_of(request)
    with instance.lock:
        job = require_job(instance, job_id, _job_token(dict(request.query_params), request))
        job.updated_at = instance.now()
        size = append_trace(job, request.headers.get("content-range"), content)
        return JSONResponse(
            202,
            status_code=202,
            headers={
                "Job-Status": job.status.value,
                "Range": f"0-{size}",
                "X-GitLab-Trace-Update-Interval": str(instance.settings.trace_update_interval_s),
            },
        )


@router.post("/jobs/{job_id}/artifacts")
async def upload_artifact(request: Request, job_id: int) -> Response:
    """An artifact, as multipart."""
    values = await parameters(request)
    instance = instance_of(request)
    upload = values.get("file")
    if not isinstance(upload, Sent):
        raise ApiError(400, "file is missing")
    with instance.lock:
        # The form may carry a field of this name for something else: the token is in the header or query.
        job = require_job(instance, job_id, _job_token(dict(request.query_params), request))
        store(
            instance,
            job,
            filename=upload.filename or "artifacts.zip",
            content=upload.content,
            file_type=str(values.get("artifact_type", "archive")),
            file_format=str(values.get("artifact_format", "zip")),
            expire_in=values.get("expire_in"),
        )
    return JSONResponse(201, status_code=201)


@router.get("/jobs/{job_id}/artifacts")
async def download_artifact(request: Request, job_id: int) -> Response:
    """The archive of a job, with that job's own token, or with that of a running job of the same project."""
    instance = instance_of(request)
    with instance.lock:
        token = _job_token(dict(request.query_params), request)
        job = instance.jobs.get(job_id)
        if job is None:
            raise forbidden()
        other = instance.job_by_token(token)
        if job.token != token and (other is None or other.project is not job.project):
            raise forbidden()
        archive = job.artifacts.get("archive")
        if archive is None:
            raise ApiError(404, "404 Not found")
        return Response(
            archive.content,
            media_type="application/zip",
            headers={"Content-Disposition": f'attachment; filename="{archive.filename}"'},
        )

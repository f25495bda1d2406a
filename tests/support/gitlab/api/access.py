"""Who calls, and with what: tokens in headers or parameters, parameters in query, JSON or form."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.datastructures import UploadFile

from tests.support.gitlab.errors import ApiError, forbidden, not_found

if TYPE_CHECKING:
    from fastapi import Request

    from tests.support.gitlab.instance import Instance
    from tests.support.gitlab.records import AccessToken, Job, Pipeline, Project, User

__all__ = [
    "Caller", "Sent", "caller", "instance_of", "integer", "own_job", "own_pipeline", "parameters", "readable",
    "require_job", "tags_of", "truth", "writable",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A file of a multipart form."""

    filename: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A person or script with an access token, or a running job with its own."""

    user: User
    access: AccessToken | None = None
    job: Job | None = None

    def require(self, *scopes: str, project: Project | None = None) -> None:
        """Insist on one of the scopes, and on the project where the token is one's.

        Raises:
            ApiError: 403; 401 for a job token where none is accepted.
        """
        if self.access is None:
            raise ApiError(401, "401 Unauthorized")
        if not self.access.scopes & {*scopes, "api"}:
            raise ApiError(403, "insufficient_scope")
        if project is not None and self.access.project_id not in {None, project.id}:
            raise ApiError(404, "404 Project Not Found")


def instance_of(request: Request) -> Instance:
    """The application's one instance."""
    instance: Instance = request.app.state.instance
    return instance


async def parameters(request: Request) -> dict[str, Any]:
    """Query, then JSON or form."""
    values: dict[str, Any] = dict(request.query_params)
    kind = request.headers.get("content-type", "")
    if kind.startswith(("application/x-www-form-urlencoded", "multipart/form-data")):
        async with request.form() as form:
            for name, value in form.items():
                values[name] = (
                    Sent(filename=value.filename or "", content=await value.read())
                    if isinstance(value, UploadFile)
                    else value
                )
    elif body := await request.body():
        try:
            read = json.loads(body)
        except ValueError as error:
            if kind.startswith("application/json"):
                raise ApiError(
                    400, "400 Bad request - message body does not match declared format"
                ) from error
            read = {}
        values |= read if isinstance(read, dict) else {}
    return values


def caller(request: Request, *, is_job_allowed: bool = False) -> Caller:
    """Whose request it is.

    Raises:
        ApiError: 401 without a good token, also for a job's token where the endpoint takes none.
    """
    instance = instance_of(request)
    bearer = request.headers.get("authorization", "").removeprefix("Bearer ").strip()
    token = request.headers.get("private-token") or request.query_params.get("private_token") or bearer
    if token:
        access = instance.access_tokens.get(token)
        if access is not None:
            return Caller(user=access.user, access=access)
    job_token = request.headers.get("job-token") or request.query_params.get("job_token")
    if job_token is None and token:
        job_token = token if is_job_allowed else None
    if job_token and is_job_allowed:
        job = instance.job_by_token(job_token)
        if job is not None:
            return Caller(user=job.user, job=job)
    raise ApiError(401, "401 Unauthorized")


def truth(value: object) -> bool:
    """A boolean, also as forms send it."""
    return value is True or str(value).lower() in {"true", "1", "t", "yes", "on"}


def integer(values: dict[str, Any], name: str, default: int) -> int:
    """A whole number from the parameters; 400 for anything else."""
    try:
        return int(values.get(name, default))
    except (TypeError, ValueError) as error:
        raise ApiError(400, f"{name} is invalid") from error


def tags_of(value: object) -> tuple[str, ...]:
    """`tag_list` as a list or with commas."""
    items = value if isinstance(value, list) else str(value).split(",")
    return tuple(dict.fromkeys(str(item).strip() for item in items if str(item).strip()))


def require_job(instance: Instance, job_id: int, token: str) -> Job:
    """The job a runner speaks for.

    Raises:
        ApiError: 403 for a wrong token, and, with its state as Job-Status, when it no longer is on a runner.
    """
    job = instance.jobs.get(job_id)
    if job is None or not token or job.token != token:
        raise forbidden()
    if not job.is_on_runner:
        raise forbidden("Job is not processing on runner", {"Job-Status": job.status.value})
    return job


def readable(instance: Instance, who: Caller, key: str) -> Project:
    """The project, if the caller may read it; for a job its own project only."""
    project = instance.project(key)
    if who.job is not None:
        if who.job.project is not project:
            raise not_found("Project")
        return project
    who.require("read_api", project=project)
    return project


def writable(instance: Instance, who: Caller, key: str) -> Project:
    """The project, if the caller may change it."""
    project = instance.project(key)
    who.require("api", project=project)
    return project


def own_pipeline(instance: Instance, request: Request, key: str, pipeline_id: int) -> tuple[Pipeline, Caller]:
    """A pipeline that the caller may change, and the caller."""
    who = caller(request)
    return instance.pipeline(writable(instance, who, key), pipeline_id), who


def own_job(instance: Instance, request: Request, key: str, job_id: int) -> tuple[Job, Caller]:
    """A job that the caller may change, and the caller."""
    who = caller(request)
    return instance.job(writable(instance, who, key), job_id), who

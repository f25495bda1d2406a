"""Git over HTTP: `git http-backend` as a CGI program, behind a job's or a person's token."""

from __future__ import annotations

import asyncio
import base64
import binascii
import os
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request, Response

from tests.support.gitlab.api.access import instance_of
from tests.support.gitlab.errors import ApiError

if TYPE_CHECKING:
    from tests.support.gitlab.instance import Instance
    from tests.support.gitlab.records import Project

__all__ = ["router"]

router = APIRouter()
_TIMEOUT_S = 60


@router.api_route("/{project_path:path}.git/{rest:path}", methods=["GET", "POST"])
async def git(request: Request, project_path: str, rest: str) -> Response:
    """Fetch with a running job's token or a read token; push needs a token with `api` or `write_repository`."""
    instance = instance_of(request)
    with instance.lock:
        project = instance.project(project_path)
        is_push = "git-receive-pack" in (rest, request.query_params.get("service"))
        user = _user(instance, project, request.headers.get("authorization", ""), is_push=is_push)
    if user is None:
        return Response(
            "HTTP Basic: Access denied", status_code=401, headers={"WWW-Authenticate": 'Basic realm="GitLab"'}
        )
    body = await request.body()
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "GIT_PROJECT_ROOT": str(project.repository),
        "GIT_HTTP_EXPORT_ALL": "1",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
        "HOME": str(project.repository),
        "PATH_INFO": f"/{rest}",
        "QUERY_STRING": request.url.query,
        "REQUEST_METHOD": request.method,
        "CONTENT_TYPE": request.headers.get("content-type", ""),
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_CONTENT_ENCODING": request.headers.get("content-encoding", ""),
        "GIT_PROTOCOL": request.headers.get("git-protocol", ""),
        "REMOTE_USER": user,
        "REMOTE_ADDR": "127.0.0.1",
    }
    process = await asyncio.create_subprocess_exec(
        "git", "http-backend",
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    output, _ = await asyncio.wait_for(process.communicate(body), _TIMEOUT_S)
    return _from_cgi(output)


def _user(instance: Instance, project: Project, authorization: str, *, is_push: bool) -> str | None:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        name, _, password = base64.b64decode(encoded).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    job = instance.job_by_token(password)
    if job is not None and name == "gitlab-ci-token":
        return name if job.project is project and not is_push else None
    access = instance.access_tokens.get(password)
    needed = {"api", "write_repository"} if is_push else {"api", "read_repository", "write_repository"}
    return access.user.username if access is not None and access.scopes & needed else None


def _from_cgi(output: bytes) -> Response:
    head, separator, body = output.partition(b"\r\n\r\n")
    if not separator:
        raise ApiError(500, "git http-backend gave no answer")
    status = 200
    headers = {}
    for line in head.decode("latin-1").split("\r\n"):
        name, _, value = line.partition(":")
        if name.lower() == "status":
            status = int(value.split()[0])
        else:
            headers[name] = value.strip()
    return Response(body, status_code=status, headers=headers)

"""Puts the endpoints together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from tests.support.gitlab.api import control, git, jobs, openid, pipelines, runner_admin, runner_calls
from tests.support.gitlab.errors import ApiError

if TYPE_CHECKING:
    from fastapi import Request

    from tests.support.gitlab.instance import Instance

__all__ = ["create_app"]


def create_app(instance: Instance) -> FastAPI:
    """The application for one instance."""
    app = FastAPI(title="Stand-in GitLab", openapi_url=None)
    app.state.instance = instance

    async def answer_error(_request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, ApiError)
        return JSONResponse({"message": error.message}, status_code=error.status, headers=error.headers)

    app.add_exception_handler(ApiError, answer_error)
    # Runners' and tests' own paths first: the others hold parts that take anything.
    for module in (runner_calls, control, openid, runner_admin, jobs, pipelines, git):
        app.include_router(module.router)
    return app

"""The one place where errors become HTTP answers.

Every code maps to a status and to a hint at what to do next. A code that is missing here is a fault of ours: 500.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from nx_dte.errors import NxDteError

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send


class MalformedError(NxDteError):
    """The request is not well-formed."""

    code = "malformed"


class RequestTooLargeError(NxDteError):
    """The request is larger than this coordinator accepts."""

    code = "request_too_large"


class ProtocolMismatchError(NxDteError):
    """Client and coordinator speak different protocol versions."""

    code = "protocol_mismatch"


class UnavailableError(NxDteError):
    """The coordinator cannot do this now."""

    code = "unavailable"


class StoppingError(NxDteError):
    """This coordinator is stopping."""

    code = "stopping"


# code -> (status, what to do next)
STATUS: dict[str, tuple[int, str]] = {
    "malformed": (400, "correct the request; docs/protocol.md has its form"),
    "digest_mismatch": (400, "upload the artifact again"),
    "upload_cut": (400, "upload the artifact again"),
    "unsafe_archive": (400, "narrow the task's outputs to plain files and links inside the workspace"),
    "unknown_dependency": (400, "submit every task that another one depends on"),
    "dependency_cycle": (400, "break the cycle in the task graph"),
    "duplicate_task": (400, "submit each task once"),
    "unfounded_hit": (400, "count a task as a hit only if all its dependencies are hits"),
    "hit_artifact_missing": (400, "upload the artifact first, then submit again"),
    "invalid_submission": (400, "correct the task graph"),
    "token_missing": (401, "set NX_CLOUD_ACCESS_TOKEN"),
    "token_unknown": (401, "ask the coordinator's operator for a valid token"),
    "token_read_only": (403, "use a read-write token"),
    "token_access_differs": (403, "give the main job and the agents of a pipeline the same token"),
    "not_found": (404, "check the id, and that the token is one of the right workspace"),
    "no_such_address": (404, "check NX_CLOUD_API, and docs/protocol.md for what there is"),
    "method_not_allowed": (405, "see docs/protocol.md for the methods of this address"),
    "ci_run_closed": (409, "start a new CI run, or run locally"),
    "lease_not_live": (409, "stop working on this task attempt"),
    "invalid_transition": (409, "read the state again, then decide"),
    "artifact_too_large": (413, "narrow the task's outputs, or raise artifact_max_bytes on the coordinator"),
    "request_too_large": (413, "send less, or raise request_max_bytes on the coordinator"),
    "invalid_fields": (422, "correct the fields named; docs/protocol.md has their types"),
    "protocol_mismatch": (426, "update the older side"),
    "internal": (500, "look into the coordinator's log"),
    "stopping": (503, "try again; another coordinator, or this one when it is back, will answer"),
    "unavailable": (503, "try again"),
    "no_space": (507, "free space on the coordinator"),
}
INTERNAL = STATUS["internal"]
ERROR_CODE = "nx_dte.error_code"  # the key in the request's scope
RETRY_AFTER_S = "2"
_MAX_SHOWN = 5

log: structlog.stdlib.BoundLogger = structlog.get_logger("nx_dte.api")


class ErrorResponse(JSONResponse):
    """An error in our form. It leaves its code in the request's scope, where whoever counts errors finds it."""

    def __init__(self, *, status: int, code: str, message: str, hint: str, headers: dict[str, str]) -> None:
        self.code = code
        content = {"error": {"code": code, "message": message, "next": hint}}
        super().__init__(content, status_code=status, headers=headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer."""
        scope[ERROR_CODE] = self.code
        await super().__call__(scope, receive, send)


def error_response(error: NxDteError) -> ErrorResponse:
    """The answer for an error of ours."""
    status, hint = STATUS.get(error.code, INTERNAL)
    return _answer(status, error.code, error.message, hint)


def _answer(status: int, code: str, message: str, hint: str) -> ErrorResponse:
    headers = {}
    if status == STATUS["token_missing"][0]:
        headers["www-authenticate"] = 'Bearer realm="nx-dte"'
    if status == STATUS["unavailable"][0]:
        headers["retry-after"] = RETRY_AFTER_S
    return ErrorResponse(status=status, code=code, message=message, hint=hint, headers=headers)


async def on_own_error(_request: Request, error: Exception) -> Response:
    """Answer an error of our family; one that is our fault is logged, once, here."""
    if not isinstance(error, NxDteError):
        raise error
    response = error_response(error)
    if response.status_code == INTERNAL[0]:
        log.error("request failed", code=error.code, exc_info=error)
    return response


async def on_validation_error(_request: Request, error: Exception) -> Response:
    """Answer a body or query that does not fit: 400 when it is no JSON at all, else 422 with the fields."""
    if not isinstance(error, RequestValidationError):
        raise error
    found = error.errors()
    if any(item["type"] == "json_invalid" for item in found):
        status, hint = STATUS["malformed"]
        return _answer(status, "malformed", "the request body is not JSON", hint)
    shown = [
        f"{'.'.join(str(part) for part in item['loc'][1:])}: {item['msg']}" for item in found[:_MAX_SHOWN]
    ]
    if len(found) > _MAX_SHOWN:
        shown.append(f"and {len(found) - _MAX_SHOWN} more")
    status, hint = STATUS["invalid_fields"]
    return _answer(status, "invalid_fields", "; ".join(shown), hint)


async def on_http_error(request: Request, error: Exception) -> Response:
    """Answer what the framework itself refuses: unknown address, wrong method, unreadable body."""
    if not isinstance(error, HTTPException):
        raise error
    codes = {404: "no_such_address", 405: "method_not_allowed", 400: "malformed"}
    code = codes.get(error.status_code, "malformed")
    asked = f"{request.method} {request.url.path}"
    messages = {
        "no_such_address": f"this coordinator has nothing at {asked}",
        "method_not_allowed": f"this coordinator does not answer {asked}",
    }
    return _answer(error.status_code, code, messages.get(code, str(error.detail)), STATUS[code][1])


async def on_disconnect(_request: Request, _error: Exception) -> Response:
    """The client went away in mid-upload; the answer reaches nobody, but the connection must end in order."""
    status, hint = STATUS["upload_cut"]
    return _answer(status, "upload_cut", "the upload ended before all bytes had arrived", hint)


async def on_fault(_request: Request, error: Exception) -> Response:
    """Answer anything unforeseen without showing its inside."""
    log.error("request failed", code="internal", exc_info=error)
    status, hint = INTERNAL
    return _answer(status, "internal", "the coordinator could not handle this request", hint)


def install(app: FastAPI) -> None:
    """Register the mapping."""
    app.add_exception_handler(NxDteError, on_own_error)
    app.add_exception_handler(RequestValidationError, on_validation_error)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(ClientDisconnect, on_disconnect)
    app.add_exception_handler(Exception, on_fault)

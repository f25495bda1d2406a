"""Who may be behind NX_CLOUD_API: a coordinator of ours, played by a table, or somebody else."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from werkzeug import Request, Response

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_httpserver import HTTPServer

__all__ = ["Ours", "nx_cloud"]

RUN: dict[str, Any] = {
    "ci_run_id": "RUN",
    "workspace": "default",
    "ci_id": "70",
    "environment": "",
    "attempt": 1,
    "state": "open",
    "outcome": None,
    "reason": None,
    "distribute_by_default": True,
    "stop_agents_after": [],
    "agents_joined": 1,
    "agents": [],
    "invocations": [],
    "created_at": "2026-03-01T12:00:00Z",
    "ended_at": None,
    "token_access": "read-write",
    "main_ping_s": 5,
    "sequence": 3,
    "has_failed": False,
}
TASK: dict[str, Any] = {
    "invocation_id": "INV",
    "task_id": "shop:build",
    "project": "shop",
    "target": "build",
    "configuration": None,
    "state": "finished",
    "outcome": "succeeded",
    "code": 0,
    "nx_status": "success",
    "hash": "h",
    "attempt": 1,
    "agent_id": "A",
    "agent_name": "a1",
    "dependencies": [],
    "priority_s": 1,
    "expected_s": None,
    "ready_at": "2026-03-01T12:00:00Z",
    "started_at": "2026-03-01T12:00:00Z",
    "ended_at": "2026-03-01T12:00:02Z",
    "artifact": None,
}


@dataclass(slots=True, kw_only=True)
class Ours:
    """A coordinator of ours, with one CI run."""

    server: HTTPServer
    token: str = "t"
    is_open: Callable[[], bool]
    """Whether `start-ci-run` has been there."""
    run: dict[str, Any] = field(default_factory=lambda: dict(RUN))
    tasks: list[dict[str, Any]] = field(default_factory=lambda: [dict(TASK)])
    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """What was sent to it, in order: the last part of the address, and the body."""
    on_told: Callable[[], object] = lambda: None
    """Called whenever something is sent."""

    def __post_init__(self) -> None:
        self.server.expect_request("/readyz").respond_with_json({"status": "ready"})
        for address in ("/api/v1/ci-runs", "/api/v1/ci-runs/RUN", "/api/v1/ci-runs/RUN/tasks"):
            self.server.expect_request(address).respond_with_handler(self._answer)
        for address in ("main-left", "complete", "records"):
            self.server.expect_request(f"/api/v1/ci-runs/RUN/{address}", method="POST").respond_with_handler(
                self._hear
            )

    @property
    def variables(self) -> dict[str, str]:
        """What a job needs to find it."""
        return {"NX_CLOUD_API": self.server.url_for("").rstrip("/"), "NX_CLOUD_ACCESS_TOKEN": self.token}

    def _answer(self, request: Request) -> Response:
        if request.headers.get("authorization") != self.token:
            error = {"code": "token_unknown", "message": "The token is unknown.", "next": "make one"}
            return _json({"error": error}, 401, {"www-authenticate": 'Bearer realm="nx-dte"'})
        if request.path.endswith("/tasks"):
            return _json({"tasks": self.tasks})
        if request.path.endswith("/RUN"):
            return _json(self.run)
        return _json({"ci_run": self.run if self.is_open() else None})

    def _hear(self, request: Request) -> Response:
        self.told.append((request.path.rpartition("/")[2], request.get_json()))
        self.on_told()
        return _json({"record_id": "R"} if request.path.endswith("/records") else self.run)


def nx_cloud(server: HTTPServer) -> dict[str, str]:
    """Somebody else's server, which knows the loader's address and none of ours; what a job needs to find it."""
    light_client = {"valid": False, "version": "2611.1", "url": server.url_for("/light-client.tar.gz")}
    server.expect_request("/nx-cloud/client/verify").respond_with_json(light_client)
    server.expect_request(re.compile(".*")).respond_with_data("Not Found", status=404)
    return {"NX_CLOUD_API": server.url_for("").rstrip("/"), "NX_CLOUD_ACCESS_TOKEN": "foreign"}


def _json(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(json.dumps(body), status, headers, content_type="application/json")

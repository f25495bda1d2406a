"""Runs the stand-in in a thread of a test, on a loopback port of its own, and gives short ways to it."""

from __future__ import annotations

import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any, Self

import httpx2
import uvicorn

from tests.support.gitlab.app import create_app
from tests.support.gitlab.instance import Instance

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["StandIn"]

_STOP_S = 10.0


class StandIn:
    """A context manager. `api` speaks as a user who may do everything; `instance` is what it remembers."""

    def __init__(self, repositories: Path) -> None:
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.instance = Instance(url=self.url, repositories=repositories)
        self.user = self.instance.add_user("root")
        self.token = self.instance.add_token(self.user, "api").token
        self.api = httpx2.Client(
            base_url=f"{self.url}/api/v4",
            headers={"PRIVATE-TOKEN": self.token},
            timeout=30,
            trust_env=False,
            # Plain HTTP only: reading the machine's certificates would take longer than most tests.
            verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        )
        config = uvicorn.Config(
            create_app(self.instance), log_level="warning", lifespan="off", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [self._socket]}, name="stand-in", daemon=True
        )

    def __enter__(self) -> Self:
        """Serve; connections that come before it is up wait in the socket's queue."""
        self._socket.listen(128)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop."""
        self.api.close()
        self._server.should_exit = True
        self._thread.join(_STOP_S)
        self._socket.close()

    # ----------------------------------------------------------------------------------------- short ways
    def call(self, method: str, path: str, /, **values: Any) -> Any:
        """Call the API with JSON and insist on success."""
        address = f"{self.url}{path}" if path.startswith("/-/") else path
        response = self.api.request(method, address, json=values or None)
        assert response.is_success, f"{method} {path}: {response.status_code} {response.text}"
        return response.json() if response.content else None

    def add_runner(self, *tags: str, **values: Any) -> str:
        """A new instance runner's authentication token."""
        wanted = {"runner_type": "instance_type", "tag_list": list(tags), **values}
        token: str = self.call("POST", "/user/runners", **wanted)["token"]
        return token

    def start_pipeline(self, project: str, /, **values: Any) -> int:
        """Start a pipeline of any source; its id."""
        path = f"/-/stand-in/projects/{project}/pipelines"
        pipeline_id: int = self.call("POST", path, **values)["id"]
        return pipeline_id

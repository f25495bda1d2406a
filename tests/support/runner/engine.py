"""The container engine's API, as far as jobs need it: spoken directly, as the real runner does it.

No client program stands between: a service manager that signals everything of the runner would reach that, too.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import socket
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Engine", "EngineError"]

_SOCKET = "/var/run/docker.sock"
_TIMEOUT_S = 120.0
_PULL_S = 1800.0
_FRAME = struct.Struct(">BxxxL")
_MISSING = 404
_FAILED = 400
_REGISTRY = re.compile(r"^(?:localhost|[^/]*[.:][^/]*)/")


class EngineError(OSError):
    """The engine refused a call, with this status, or cannot be reached."""

    status = 0


class _Connection(http.client.HTTPConnection):
    """HTTP over a socket file."""

    def __init__(self, path: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        """Connect to the file."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """One engine of this host."""

    address: str = ""
    """As `host` of `[runners.docker]`; empty is the usual one, or DOCKER_HOST."""

    def create(self, name: str, body: dict[str, Any]) -> str:
        """A container that does not run yet; its id."""
        made = self._call("POST", f"/containers/create?name={quote(name)}", body)
        return str(made["Id"])

    def run(self, container: str, script: bytes, write: Callable[[bytes], None]) -> int:
        """Start a container, feed it the script, write what it prints line by line; its exit code."""
        connection = self._connect(None)
        try:
            query = "stream=1&stdin=1&stdout=1&stderr=1"
            headers = {"Connection": "Upgrade", "Upgrade": "tcp", "Content-Length": "0"}
            connection.request("POST", f"/containers/{container}/attach?{query}", headers=headers)
            stream = connection.sock
            reader = stream.makefile("rb")
            _skip_head(reader)
            self._call("POST", f"/containers/{container}/start")
            stream.sendall(script)
            stream.shutdown(socket.SHUT_WR)
            _copy(reader, write)
            reader.close()
        finally:
            connection.close()
        return int(self._call("POST", f"/containers/{container}/wait", timeout_s=None)["StatusCode"])

    def tell_all(self, container: str, signal_name: str) -> None:
        """Send a signal to every process of a container, its first one last: that is none of those that -1 means."""
        body = {"Cmd": ["sh", "-c", f"kill -s {signal_name} -- -1"], "AttachStdout": True}
        try:
            made = self._call("POST", f"/containers/{container}/exec", body)
            self._call("POST", f"/exec/{made['Id']}/start", {"Detach": False}, is_raw=True)
            self._call("POST", f"/containers/{container}/kill?signal={signal_name}")
        except EngineError:
            return  # it does not run any more

    def kill(self, container: str) -> None:
        """Kill every process of a container, if it runs."""
        try:
            self._call("POST", f"/containers/{container}/kill")
        except EngineError:
            return

    def first_process(self, container: str) -> int:
        """Its id on this host; 0 when the container does not run."""
        try:
            state = self._call("GET", f"/containers/{container}/json")["State"]
        except EngineError:
            return 0
        return int(state["Pid"]) if state["Running"] else 0

    def remove(self, container: str) -> None:
        """Remove a container with its volumes, running or not."""
        try:
            self._call("DELETE", f"/containers/{container}?force=1&v=1")
        except EngineError:
            return

    def image_id(self, image: str) -> str | None:
        """The id of an image that is here."""
        try:
            return str(self._call("GET", f"/images/{quote(image, safe='/:@')}/json")["Id"])
        except EngineError as error:
            if error.status == _MISSING:
                return None
            raise

    def pull(self, image: str) -> None:
        """Pull an image.

        Raises:
            EngineError: it cannot be had.
        """
        name, mark, version = image.partition("@")
        if not mark:
            name, mark, version = image.rpartition(":")
            if not mark or "/" in version:
                name, version = image, "latest"
        query = urlencode({"fromImage": name, "tag": version})
        said = self._call(
            "POST", f"/images/create?{query}", headers=_credentials(image), timeout_s=_PULL_S, is_raw=True
        )
        for line in said.splitlines():
            if "error" in (message := json.loads(line)):
                raise EngineError(f"pulling {image}: {message['error']}")

    # --------------------------------------------------------------------------------------------- inside
    def _connect(self, timeout_s: float | None) -> _Connection:
        address = self.address or os.environ.get("DOCKER_HOST", "") or f"unix://{_SOCKET}"
        if not address.startswith("unix://"):
            raise EngineError(f"this runner reaches engines by socket file, not by {address}")
        connection = _Connection(address.removeprefix("unix://"), timeout_s or 0)
        connection.timeout = timeout_s
        return connection

    def _call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        headers: dict[str, str] | None = None,
        timeout_s: float | None = _TIMEOUT_S,
        is_raw: bool = False,
    ) -> Any:
        connection = self._connect(timeout_s)
        try:
            content = json.dumps(body) if body is not None else None
            wanted = {**(headers or {}), **({"Content-Type": "application/json"} if content else {})}
            connection.request(method, path, content, wanted)
            response = connection.getresponse()
            text = response.read().decode()
        except OSError as error:
            raise EngineError(f"the container engine does not answer: {error}") from error
        finally:
            connection.close()
        if response.status >= _FAILED:
            message = text.strip()
            if message.startswith("{"):
                message = json.loads(message).get("message", message)
            refused = EngineError(message)
            refused.status = response.status
            raise refused
        if is_raw:
            return text
        return json.loads(text) if text.strip() else {}


def _skip_head(reader: Any) -> None:
    """The answer's head; what follows are frames.

    Raises:
        EngineError: the engine did not switch over.
    """
    status = reader.readline().decode()
    while reader.readline().strip():
        pass
    if " 101 " not in status and " 200 " not in status:
        raise EngineError(f"the container engine refuses to attach: {status.strip()}")


def _copy(reader: Any, write: Callable[[bytes], None]) -> None:
    """Write the frames' content in whole lines: a masked value that is split over two pieces would be shown."""
    rest = b""
    while len(head := reader.read(_FRAME.size)) == _FRAME.size:
        rest += reader.read(_FRAME.unpack(head)[1])
        whole, newline, rest = rest.rpartition(b"\n")
        if newline:
            write(whole + newline)
    if rest:
        write(rest)


def _credentials(image: str) -> dict[str, str]:
    """What `docker login` has left here for the image's registry."""
    home = Path(os.environ.get("DOCKER_CONFIG", Path(os.environ.get("HOME", "/root"), ".docker")))
    registry = _REGISTRY.match(image)
    try:
        known = json.loads((home / "config.json").read_text(encoding="utf-8"))["auths"]
        packed = known[registry[0].rstrip("/") if registry else "https://index.docker.io/v1/"]["auth"]
    except (OSError, KeyError, ValueError):
        return {}
    user, _, password = base64.b64decode(packed).decode().partition(":")
    value = json.dumps({"username": user, "password": password}).encode()
    return {"X-Registry-Auth": base64.urlsafe_b64encode(value).decode()}

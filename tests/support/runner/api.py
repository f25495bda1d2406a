"""The calls a runner makes."""

from __future__ import annotations

import functools
import ssl
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx2

from tests.support.runner.version import VERSION

if TYPE_CHECKING:
    from tests.support.runner.job import Dependency, Job, Upload

__all__ = ["Answer", "GitLabCalls", "RunnerRefusedError"]

_TIMEOUT_S = 30.0


@functools.cache
def _certificates() -> ssl.SSLContext:
    """The machine's certificates; reading them takes a while, so once."""
    return ssl.create_default_context()


class RunnerRefusedError(Exception):
    """GitLab does not know the runner's token (403)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What GitLab says to a trace or a state: its view of the job, and how often it wants to hear."""

    status_code: int
    job_status: str
    size: int | None = None
    interval_s: float | None = None


class GitLabCalls:
    """One runner's way to its GitLab; safe to use from several threads."""

    def __init__(
        self, *, url: str, token: str, system_id: str, executor: str, is_graceful: bool = True
    ) -> None:
        self._token = token
        self._system_id = system_id
        self._info = {
            "name": "protocol-client",
            "version": VERSION,
            "revision": "standin",
            "platform": "linux",
            "architecture": "amd64",
            "executor": executor,
            "shell": "bash",
            "features": {
                "variables": True,
                "artifacts": True,
                "upload_multiple_artifacts": True,
                "upload_raw_artifacts": True,
                "cache": True,
                "refspecs": True,
                "masking": True,
                "raw_variables": True,
                "multi_build_steps": True,
                "trace_checksum": True,
                "trace_size": True,
                "cancelable": True,
                "cancel_gracefully": is_graceful,
                "return_exit_code": True,
            },
        }
        self._last_update = ""
        self._http = httpx2.Client(
            base_url=f"{url}/api/v4/", timeout=_TIMEOUT_S, trust_env=False, verify=_certificates()
        )

    def close(self) -> None:
        """Let go of connections."""
        self._http.close()

    def verify(self) -> dict[str, Any]:
        """Check the token.

        Raises:
            RunnerRefusedError: It is not a runner's.
        """
        response = self._call(
            "POST", "runners/verify", json={"token": self._token, "system_id": self._system_id}
        )
        verified: dict[str, Any] = response.json()
        return verified

    def unregister(self) -> None:
        """This host leaves the runner."""
        self._call("DELETE", "runners/managers", json={"token": self._token, "system_id": self._system_id})

    def reset_token(self) -> dict[str, Any]:
        """A new token, and when it expires; the old one is void.

        Raises:
            RunnerRefusedError: The old one was void already.
        """
        values = {"token": self._token, "system_id": self._system_id}
        reset: dict[str, Any] = self._call("POST", "runners/reset_authentication_token", json=values).json()
        return reset

    def request_job(self) -> dict[str, Any] | None:
        """The next job, or None.

        Raises:
            RunnerRefusedError: The token is no longer good.
        """
        body = {
            "token": self._token,
            "system_id": self._system_id,
            "last_update": self._last_update,
            "info": self._info,
        }
        response = self._call("POST", "jobs/request", json=body)
        if response.status_code != httpx2.codes.CREATED:
            self._last_update = response.headers.get("X-GitLab-Last-Update", self._last_update)
            return None
        job: dict[str, Any] = response.json()
        return job

    def patch_trace(self, job: Job, start: int, content: bytes) -> Answer:
        """Send a piece of the trace."""
        response = self._http.patch(
            f"jobs/{job.id}/trace",
            params={"debug_trace": "false"},
            content=content,
            headers={
                "JOB-TOKEN": job.token,
                "Content-Range": f"{start}-{start + len(content) - 1}",
                "Content-Type": "text/plain",
            },
        )
        return _answer(response)

    def update(self, job: Job, state: str, *, trace: bytes = b"", **more: Any) -> Answer:
        """Say how the job stands; `more` holds exit_code and failure_reason."""
        body: dict[str, Any] = {"token": job.token, "state": state, "info": self._info, **more}
        if state != "running":
            body["output"] = {"checksum": f"crc32:{zlib.crc32(trace):08x}", "bytesize": len(trace)}
        return _answer(self._http.put(f"jobs/{job.id}", json=body))

    def upload(self, job: Job, upload: Upload, filename: str, content: bytes) -> int:
        """Send an artifact; the answer's status code (201 is done)."""
        parameters = {"artifact_format": upload.format, "artifact_type": upload.kind}
        if upload.expire_in:
            parameters["expire_in"] = upload.expire_in
        response = self._http.post(
            f"jobs/{job.id}/artifacts",
            params=parameters,
            files={"file": (filename, content)},
            headers={"JOB-TOKEN": job.token},
        )
        return response.status_code

    def download(self, dependency: Dependency) -> bytes | None:
        """The archive of a job this one depends on, with that job's token; None when it can't be had."""
        response = self._http.get(
            f"jobs/{dependency.id}/artifacts",
            params={"direct_download": "true"},
            headers={"JOB-TOKEN": dependency.token},
            follow_redirects=True,
        )
        return response.content if response.status_code == httpx2.codes.OK else None

    def _call(self, method: str, path: str, *, json: dict[str, Any]) -> httpx2.Response:
        response = self._http.request(method, path, json=json, headers={"RUNNER-TOKEN": self._token})
        if response.status_code == httpx2.codes.FORBIDDEN:
            raise RunnerRefusedError(f"GitLab refuses runner {self._token[:9]}… (403)")
        response.raise_for_status()
        return response


def _answer(response: httpx2.Response) -> Answer:
    size = response.headers.get("Range", "").rpartition("-")[2]
    interval = response.headers.get("X-GitLab-Trace-Update-Interval")
    return Answer(
        status_code=response.status_code,
        job_status=response.headers.get("Job-Status", ""),
        size=int(size) if size.isdigit() else None,
        interval_s=float(interval) if interval else None,
    )

"""What the command line asks of a coordinator, and tells it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from typing import TYPE_CHECKING, ClassVar, Self, TypeVar
from urllib.parse import quote

from pydantic import ValidationError

from nx_dte.client.environment import CloudEnvironment
from nx_dte.errors import EXIT_CONFIGURATION, CoordinatorUnreachableError, NxDteError
from nx_dte.protocol.base import PROTOCOL_VERSION, ErrorAnswer, ErrorBody, WireModel
from nx_dte.protocol.runs import CiRunView, FoundCiRun, MainLeftNotice, Reason, RecordAnswer, RecordCommand
from nx_dte.protocol.tasks import TasksAnswer, TaskView
from nx_dte.transport import Answer, Caller, NoAnswerError, without_credentials

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from pathlib import Path

__all__ = ["CoordinatorClient", "CoordinatorRefusedError", "Presence", "Probe"]

M = TypeVar("M", bound=WireModel)

PROBE_TIMEOUT_S = 4.0
PROBE_PAUSE_S = 0.5
CALL_TIMEOUT_S = 10.0
TASKS_TIMEOUT_S = 30.0
REALM = 'realm="nx-dte"'


class CoordinatorRefusedError(NxDteError):
    """The coordinator answered, and said no."""

    code: ClassVar[str] = "coordinator_refused"
    exit_code: ClassVar[int] = EXIT_CONFIGURATION


class Presence(StrEnum):
    """Who answers at NX_CLOUD_API."""

    READY = "ready"
    """A coordinator of ours that can work."""
    UNREADY = "unready"
    """A coordinator of ours that cannot work now: its store is away, or it is stopping."""
    FOREIGN = "foreign"
    """Somebody else: a real Nx Cloud, say."""
    UNREACHABLE = "unreachable"
    """Nobody in time."""
    NOT_CONFIGURED = "not_configured"
    """NX_CLOUD_API is not set, or is no address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """Who answers, and a sentence that says so."""

    presence: Presence
    message: str

    @property
    def is_ours(self) -> bool:
        """Whether a coordinator of ours answered, well or not."""
        return self.presence in {Presence.READY, Presence.UNREADY}

    @property
    def is_away(self) -> bool:
        """Whether there is a coordinator, but nobody can work with it now."""
        return self.presence in {Presence.UNREACHABLE, Presence.UNREADY}


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinatorClient:
    """Speaks to the coordinator at NX_CLOUD_API. Holds no connection; safe to use from several threads.

    Every method but `probe` raises CoordinatorUnreachableError when nothing usable came within `timeout_s`, and
    CoordinatorRefusedError, with the coordinator's own words, when it said no.
    """

    cloud: CloudEnvironment

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """A client for a job's environment; without NX_CLOUD_API, one whose probe says so."""
        return cls(cloud=CloudEnvironment.from_environ(environ))

    def probe(self, *, timeout_s: float = PROBE_TIMEOUT_S) -> Probe:
        """Find out who answers, within `timeout_s` in all. Never raises."""
        url = self.cloud.url
        if url is None:
            return Probe(presence=Presence.NOT_CONFIGURED, message="NX_CLOUD_API is not set")
        shown = self.cloud.shown_url
        if not self.cloud.has_address:
            return Probe(
                presence=Presence.NOT_CONFIGURED, message=f"NX_CLOUD_API is no http(s) address: {shown}"
            )
        caller = Caller(base_url=url, ca_files=self._ca_files())
        try:
            # Without a token: only a coordinator of ours refuses that with its realm.
            refusal = caller.get(
                "/api/v1/ci-runs", query={"ci_id": "probe"}, timeout_s=timeout_s / 2, attempts=1
            )
            if REALM not in refusal.headers.get("www-authenticate", ""):
                is_absent = refusal.status == HTTPStatus.NOT_FOUND and not _serves_nx(caller, timeout_s / 2)
                return _absent(shown) if is_absent else _foreign_or_away(shown, refusal)
            readiness = caller.get("/readyz", timeout_s=timeout_s / 2, attempts=1)
        except NoAnswerError as error:
            return Probe(presence=Presence.UNREACHABLE, message=error.message)
        if readiness.is_success:
            return Probe(presence=Presence.READY, message=f"the coordinator at {shown} is ready")
        return Probe(
            presence=Presence.UNREADY,
            message=f"the coordinator at {shown} is not ready: {_words(readiness)}",
        )

    def probe_for(self, seconds: float) -> Probe:
        """Probe, and again for so many seconds until somebody answers who can work. Never raises."""
        deadline = time.monotonic() + seconds
        while True:
            probe = self.probe()
            if not probe.is_away or time.monotonic() + PROBE_PAUSE_S >= deadline:
                return probe
            time.sleep(PROBE_PAUSE_S)

    def newest_run(
        self,
        *,
        ci_id: str | None = None,
        environment: str | None = None,
        timeout_s: float = CALL_TIMEOUT_S,
        attempts: int = 5,
    ) -> CiRunView | None:
        """The newest attempt of a CI run, by default of this pipeline's; None while no main job has opened it."""
        key = ci_id if ci_id is not None else self.cloud.ci_id
        if key is None:
            return None
        query = {"ci_id": key, "environment": self.cloud.environment if environment is None else environment}
        found = self._read("/api/v1/ci-runs", FoundCiRun, query=query, timeout_s=timeout_s, attempts=attempts)
        return found.ci_run

    def run(self, ci_run_id: str, *, timeout_s: float = CALL_TIMEOUT_S) -> CiRunView:
        """One CI run with its agents and invocations."""
        return self._read(f"/api/v1/ci-runs/{quote(ci_run_id, safe='')}", CiRunView, timeout_s=timeout_s)

    def tasks(self, ci_run_id: str, *, timeout_s: float = TASKS_TIMEOUT_S) -> tuple[TaskView, ...]:
        """All tasks of a CI run, of all its invocations."""
        path = f"/api/v1/ci-runs/{quote(ci_run_id, safe='')}/tasks"
        return self._read(path, TasksAnswer, timeout_s=timeout_s).tasks

    def artifact(self, artifact_id: str, *, timeout_s: float = CALL_TIMEOUT_S) -> bytes:
        """An archive's bytes; for small ones, as it is held in memory."""
        caller = self._caller()
        path = f"/api/v1/artifacts/{quote(artifact_id, safe='')}"
        try:
            answer = caller.get(path, timeout_s=timeout_s, attempts=2)
        except NoAnswerError as error:
            raise CoordinatorUnreachableError(error.message) from error
        if not answer.is_success:
            raise self._refusal(answer)
        return answer.body

    def complete(self, ci_run_id: str, *, reason: str, timeout_s: float = CALL_TIMEOUT_S) -> CiRunView:
        """End a CI run: agents leave when what runs has ended."""
        path = f"/api/v1/ci-runs/{quote(ci_run_id, safe='')}/complete"
        return self._send(path, Reason(reason=reason), CiRunView, timeout_s=timeout_s)

    def main_left(
        self, ci_run_id: str, *, job_id: str, reason: str, timeout_s: float = CALL_TIMEOUT_S
    ) -> CiRunView:
        """Say that the main job is going: a command that still runs makes the CI run abandoned, agents leave."""
        path = f"/api/v1/ci-runs/{quote(ci_run_id, safe='')}/main-left"
        return self._send(path, MainLeftNotice(job_id=job_id, reason=reason), CiRunView, timeout_s=timeout_s)

    def add_record(
        self,
        ci_run_id: str,
        *,
        key: str,
        command: str,
        code: int,
        at: datetime,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        """Add the end of a command to a CI run, as `nx-cloud record` does: a failed one makes the run a failed one.

        `key` makes sending it twice the same as once.
        """
        path = f"/api/v1/ci-runs/{quote(ci_run_id, safe='')}/records"
        record = RecordCommand(record_key=key, command=command, code=code, started_at=at, ended_at=at)
        self._send(path, record, RecordAnswer, timeout_s=timeout_s)

    # ------------------------------------------------------------------------------------- one call
    def _read(
        self,
        path: str,
        model: type[M],
        *,
        query: Mapping[str, str] | None = None,
        timeout_s: float,
        attempts: int = 5,
    ) -> M:
        caller = self._caller()
        try:
            answer = caller.get(path, query=query, timeout_s=timeout_s, attempts=attempts)
        except NoAnswerError as error:
            raise CoordinatorUnreachableError(error.message) from error
        return self._understood(answer, model)

    def _send(self, path: str, body: WireModel, model: type[M], *, timeout_s: float) -> M:
        caller = self._caller()
        try:
            answer = caller.post(path, body=body.model_dump(mode="json"), timeout_s=timeout_s)
        except NoAnswerError as error:
            raise CoordinatorUnreachableError(error.message) from error
        return self._understood(answer, model)

    def _understood(self, answer: Answer, model: type[M]) -> M:
        if answer.is_success:
            try:
                return model.model_validate_json(answer.body)
            except ValidationError as error:
                raise CoordinatorRefusedError(
                    f"the answer of {self.cloud.shown_url} cannot be read as {model.__name__}: it is no coordinator, or of "
                    "another version than this nx-dte; update the older side"
                ) from error
        raise self._refusal(answer)

    def _refusal(self, answer: Answer) -> NxDteError:
        message = f"the coordinator at {self.cloud.shown_url} answers {answer.status}: {_words(answer)}"
        if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return CoordinatorUnreachableError(message)
        return CoordinatorRefusedError(message)

    def _caller(self) -> Caller:
        if self.cloud.url is None:
            raise CoordinatorUnreachableError("NX_CLOUD_API is not set")
        headers = {"nx-dte-protocol": str(PROTOCOL_VERSION)}
        if self.cloud.token is not None:
            headers["authorization"] = self.cloud.token
        return Caller(base_url=self.cloud.url, headers=headers, ca_files=self._ca_files())

    def _ca_files(self) -> tuple[Path, ...]:
        return () if self.cloud.ca_file is None else (self.cloud.ca_file,)


def _foreign_or_away(url: str, answer: Answer) -> Probe:
    """A proxy's 502 says nothing about who is behind it; anything else that is not ours is somebody else."""
    if answer.status < HTTPStatus.INTERNAL_SERVER_ERROR:
        leads = without_credentials(answer.headers.get("location", ""))
        how = f"it leads to {leads}" if leads else f"it answers {answer.status}"
        return Probe(presence=Presence.FOREIGN, message=f"{url} is not a coordinator of nx-dte: {how}")
    presence = Presence.UNREACHABLE if _error(answer) is None else Presence.UNREADY
    return Probe(presence=presence, message=f"{url} answers {answer.status}: {_words(answer)}")


def _serves_nx(caller: Caller, timeout_s: float) -> bool:
    """Whether somebody is behind the address that Nx's own loader asks first; there, 404 is nobody's answer."""
    answer = caller.get("/nx-cloud/client/verify", timeout_s=timeout_s, attempts=1)
    return answer.status != HTTPStatus.NOT_FOUND


def _absent(url: str) -> Probe:
    """Proxies that find backends by themselves know no address of one that is down."""
    return Probe(
        presence=Presence.UNREACHABLE,
        message=f"{url} answers 404 to everything: a proxy whose coordinator is away, or a wrong address",
    )


def _error(answer: Answer) -> ErrorBody | None:
    """The refusal, if it has our form."""
    try:
        return ErrorAnswer.model_validate_json(answer.body).error
    except ValidationError:
        return None


def _words(answer: Answer) -> str:
    """The coordinator's message and advice, or the beginning of what came instead."""
    error = _error(answer)
    if error is None:
        return answer.body[:200].decode("utf-8", "replace") or "without a word"
    return f"{error.message.rstrip('.')} ({error.next})"

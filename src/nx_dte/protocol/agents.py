"""Messages of agents."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nx_dte.protocol.base import Digest, Identifier, LongText, ShortText, Time, WaitSeconds, WireModel

MAX_HELD = 1024


class JoinAgent(WireModel):
    """`start-agent` asks to join the newest attempt of a CI run."""

    agent_key: Identifier
    ci_id: Identifier
    environment: ShortText = ""
    name: Identifier
    instance: ShortText | None = None
    type: ShortText | None = None
    job_id: ShortText | None = None
    commit: ShortText | None = None
    nx_version: ShortText | None = None
    wait_s: WaitSeconds = 0
    is_main: bool = False


class JoinAnswer(WireModel):
    """What the agent should do now."""

    decision: Literal["wait", "joined", "leave", "refused"]
    agent_id: str | None = None
    ci_run_id: str | None = None
    attempt: int | None = None
    lease_s: float
    heartbeat_s: float
    reason: str | None = None
    message: str | None = None
    sequence: int | None = None


class Claim(WireModel):
    """An agent asks for as many tasks as it has free slots."""

    slots: int | None = Field(None, ge=0, le=MAX_HELD)
    holding: tuple[Identifier, ...] = Field((), max_length=MAX_HELD)
    wait_s: WaitSeconds = 0


class GrantedLease(WireModel):
    """The right to one task attempt."""

    lease_id: str
    invocation_id: str
    task_id: str
    attempt: int
    hash: str | None
    lease_expires_at: Time


class ClaimAnswer(WireModel):
    """Work, or the word to leave. No leases and `work` means: ask again."""

    state: Literal["work", "leave"]
    reason: str | None = None
    message: str | None = None
    leases: tuple[GrantedLease, ...] = ()
    sequence: int


class Heartbeat(WireModel):
    """Renews the leases named."""

    holding: tuple[Identifier, ...] = Field((), max_length=MAX_HELD)


class HeartbeatAnswer(WireModel):
    """What the agent must stop working on."""

    state: Literal["work", "leave"]
    reason: str | None = None
    message: str | None = None
    revoked: tuple[str, ...]
    heartbeat_s: float


class Report(WireModel):
    """The end of one task attempt."""

    lease_id: Identifier
    attempt: int = Field(ge=1)
    outcome: Literal["succeeded", "failed", "not_stored"]
    code: int = Field(ge=-(2**31), lt=2**31)
    hash: ShortText | None = None
    nx_status: ShortText | None = None
    artifact_id: Digest | None = None
    started_at: Time
    ended_at: Time
    message: LongText | None = None


class Reports(WireModel):
    """Several reports, and a claim for the slots they free."""

    reports: tuple[Report, ...] = Field(max_length=MAX_HELD)
    claim: Claim | None = None


class ReportResult(WireModel):
    """Whether a report counted."""

    lease_id: str
    accepted: bool
    reason: str | None = None


class ReportsAnswer(WireModel):
    """One result a report, in order."""

    results: tuple[ReportResult, ...]
    claim: ClaimAnswer | None = None


class Leave(WireModel):
    """An agent says goodbye."""

    reason: ShortText = ""
    message: LongText | None = None

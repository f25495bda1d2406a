"""The answers: what whoever sent the event is told, and the decision that carries them."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from nx_dte.coordinator.scheduler.effects import Effect
from nx_dte.coordinator.scheduler.facts import Fact
from nx_dte.model.agent import Agent, JoinDecision, JoinReason, LeftReason, WorkState
from nx_dte.model.ids import LeaseId, RecordId
from nx_dte.model.invocation import Invocation
from nx_dte.model.lease import Lease, ReportRefusal
from nx_dte.model.run import CiRun
from nx_dte.model.task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAnswer:
    """To `RunOpened`, `MainPinged`, `MainLeft`, `MainFellSilent`, `RunCompleted`: the run as it is now."""

    run: CiRun


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordAnswer:
    """To `RecordReported`."""

    record_id: RecordId


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationAnswer:
    """To `InvocationSubmitted` and `InvocationCancelled`."""

    invocation: Invocation
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinAnswer:
    """To `AgentJoined`. `agent` is set when it joined, `run` whenever there is one."""

    decision: JoinDecision
    reason: JoinReason | None = None
    message: str = ""
    agent: Agent | None = None
    run: CiRun | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """A task attempt handed out."""

    lease: Lease
    task: Task


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimAnswer:
    """To `TasksClaimed`. Work without grants: ask again (the engine waits for a wake-up first)."""

    state: WorkState
    reason: LeftReason | None = None
    message: str = ""
    grants: tuple[Grant, ...] = ()
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class HeartbeatAnswer:
    """To `AgentHeartbeat`. `revoked`: named by the agent, but not (or no longer) its own."""

    state: WorkState
    reason: LeftReason | None = None
    message: str = ""
    revoked: tuple[LeaseId, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportAnswer:
    """To `TaskReported`."""

    lease_id: LeaseId
    is_accepted: bool
    refusal: ReportRefusal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NothingToSay:
    """To what time brings (`LeaseExpired`, `TaskTimedOut`, `TaskRanLong`, `AgentFellSilent`) and to `AgentLeft`."""


Answer = (
    RunAnswer
    | RecordAnswer
    | InvocationAnswer
    | JoinAnswer
    | ClaimAnswer
    | HeartbeatAnswer
    | ReportAnswer
    | NothingToSay
)
AnswerT_co = TypeVar("AnswerT_co", bound=Answer, covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision(Generic[AnswerT_co]):
    """What an event leads to. Persist the facts in order, then carry out the effects, then answer."""

    facts: tuple[Fact, ...]
    effects: tuple[Effect, ...]
    answer: AnswerT_co

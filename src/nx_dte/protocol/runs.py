"""Messages about CI runs, their records and invocations."""

from __future__ import annotations

from pydantic import Field

from nx_dte.model.access import TokenAccess
from nx_dte.model.agent import AgentState
from nx_dte.model.invocation import InvocationState
from nx_dte.model.run import CiRunState, RunOutcome
from nx_dte.protocol.base import Digest, Identifier, LongText, ShortText, Time, WaitSeconds, WireModel

MAX_EVENTS = 1000
MAX_TASK_TIMEOUT_S = 7 * 24 * 3600


class OpenCiRun(WireModel):
    """`start-ci-run`."""

    ci_id: Identifier
    environment: ShortText = ""
    job_id: Identifier
    branch: ShortText | None = None
    commit: ShortText | None = None
    nx_version: ShortText | None = None
    distribute_on: ShortText = "manual"
    stop_agents_after: tuple[ShortText, ...] = Field((), max_length=200)
    stop_agents_on_failure: bool = True
    require_explicit_completion: bool = False
    use_dte_by_default: bool = True


class AgentSummary(WireModel):
    """An agent, as its CI run shows it."""

    agent_id: str
    name: str
    state: AgentState
    joined_at: Time
    left_at: Time | None
    left_reason: str | None


class InvocationSummary(WireModel):
    """An invocation, as its CI run shows it."""

    invocation_id: str
    command: str
    state: InvocationState
    outcome: str | None


class CiRunView(WireModel):
    """A CI run."""

    ci_run_id: str
    workspace: str
    ci_id: str
    environment: str
    attempt: int
    state: CiRunState
    outcome: RunOutcome | None
    reason: str | None
    distribute_by_default: bool
    stop_agents_after: tuple[str, ...]
    agents_joined: int
    agents: tuple[AgentSummary, ...]
    invocations: tuple[InvocationSummary, ...]
    created_at: Time
    ended_at: Time | None
    token_access: TokenAccess
    main_ping_s: float
    sequence: int
    has_failed: bool = False
    """A task or a recorded command has finally failed; known before the run ends and has an outcome."""


class FoundCiRun(WireModel):
    """The newest attempt of a key, if any."""

    ci_run: CiRunView | None


class Ping(WireModel):
    """The pinger's sign of life."""

    job_id: ShortText | None = None


class PingAnswer(WireModel):
    """How the run stands, and when to ping again."""

    state: CiRunState
    ping_s: float


class MainLeftNotice(WireModel):
    """The pinger saw the job's shell end."""

    job_id: Identifier
    reason: ShortText = "shell-ended"


class Reason(WireModel):
    """Why."""

    reason: ShortText = ""


class RecordCommand(WireModel):
    """A command that `record` ran."""

    record_key: Identifier
    command: LongText
    code: int = Field(ge=-(2**31), lt=2**31)
    terminal_output: str = ""
    started_at: Time
    ended_at: Time


class RecordAnswer(WireModel):
    """The record's id."""

    record_id: str


class Hit(WireModel):
    """A task that was a cache hit on main."""

    artifact_id: Digest | None = None
    nx_status: ShortText


class SubmittedTask(WireModel):
    """One task of an invocation."""

    task_id: Identifier
    project: Identifier
    target: Identifier
    configuration: ShortText | None = None
    hash: ShortText | None = None
    cacheable: bool = True
    parallelism: bool = True
    noop: bool = False
    outputs: tuple[LongText, ...] = ()
    dependencies: tuple[Identifier, ...] = ()
    hit: Hit | None = None


class SubmitInvocation(WireModel):
    """One `nx ...` command with its task graph."""

    invocation_key: Identifier
    command: LongText
    targets: tuple[ShortText, ...] = ()
    configuration: ShortText | None = None
    parallel: int = Field(ge=1, le=1024)
    nx_bail: bool = False
    skip_nx_cache: bool = False
    task_timeout_s: float | None = Field(None, gt=0, le=MAX_TASK_TIMEOUT_S)
    payload: str = "{}"
    tasks: tuple[SubmittedTask, ...] = Field((), max_length=100_000)


class SubmitAnswer(WireModel):
    """The invocation, and from which event on to follow it."""

    invocation_id: str
    state: InvocationState
    sequence: int


class FollowEvents(WireModel):
    """Which events of a run are wanted, and how long to wait for the first."""

    after: int = Field(0, ge=0)
    invocation_id: str | None = None
    agent_id: str | None = None
    kinds: str = ""
    limit: int = Field(200, ge=1, le=MAX_EVENTS)
    wait_s: WaitSeconds = 0

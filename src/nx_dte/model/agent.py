"""The agent: a process that runs Nx tasks for one CI run."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from nx_dte.model.ids import AgentId, CiRunId, JobId


class AgentState(StrEnum):
    """Where an agent is in its life."""

    JOINED = "joined"
    DRAINING = "draining"
    LEFT = "left"
    LOST = "lost"

    @property
    def is_live(self) -> bool:
        """It is expected to be heard from."""
        return self in {AgentState.JOINED, AgentState.DRAINING}


class LeftReason(StrEnum):
    """Why an agent is no longer there, or is told to leave."""

    NO_MORE_WORK = "no_more_work"
    """The run is stopping and everything is handed out."""
    RUN_ENDED = "run_ended"
    RUN_ABANDONED = "run_abandoned"
    INTERRUPTED = "interrupted"
    """Its job or machine is going away."""
    MISMATCH = "mismatch"
    """It found that its workspace differs from the main job's."""
    SILENT = "silent"
    OTHER = "other"


class JoinDecision(StrEnum):
    """What a process that wants to be an agent is told."""

    WAIT = "wait"
    JOINED = "joined"
    LEAVE = "leave"
    REFUSED = "refused"


class JoinReason(StrEnum):
    """Why it is told so."""

    NO_RUN_YET = "no_run_yet"
    RUN_OVER = "run_over"
    AGENT_LEFT = "agent_left"
    COMMIT_DIFFERS = "commit_differs"
    NX_VERSION_DIFFERS = "nx_version_differs"
    TOKEN_ACCESS_DIFFERS = "token_access_differs"  # noqa: S105 - no secret


class WorkState(StrEnum):
    """What an agent is told to do next."""

    WORK = "work"
    LEAVE = "leave"


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """One agent process; two processes of one name are two agents."""

    agent_id: AgentId
    ci_run_id: CiRunId
    agent_key: str
    """Unique per process; makes joining safe to repeat."""
    name: str
    instance: str | None = None
    kind: str | None = None
    """What it says of the machine it runs on (`type` on the wire)."""
    job_id: JobId | None = None
    commit: str | None = None
    nx_version: str | None = None
    is_main: bool = False
    state: AgentState = AgentState.JOINED
    joined_at: datetime
    seen_at: datetime
    claimed_at: datetime | None = None
    """When it last asked for work."""
    left_at: datetime | None = None
    left_reason: LeftReason | None = None

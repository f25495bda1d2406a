"""The CI run: everything of one pipeline, from the main job's first word to its last."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from nx_dte.model.access import TokenAccess
from nx_dte.model.ids import CiRunId, JobId, WorkspaceId


class CiRunState(StrEnum):
    """Where a CI run is in its life."""

    OPEN = "open"
    STOPPING = "stopping"
    FINISHED = "finished"
    ABANDONED = "abandoned"

    @property
    def is_over(self) -> bool:
        """Nothing in such a run changes any more."""
        return self in {CiRunState.FINISHED, CiRunState.ABANDONED}


class RunOutcome(StrEnum):
    """How a CI run, or one invocation of it, ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"


class RunReason(StrEnum):
    """Why a CI run stopped handing out work, or ended."""

    STOP_AGENTS_AFTER = "stop_agents_after"
    COMMAND_FAILED = "command_failed"
    COMPLETED = "completed"
    MAIN_LEFT = "main_left"
    MAIN_SILENT = "main_silent"
    TAKEN_OVER = "taken_over"
    """A trusted main job came with the id of an untrusted run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CiRun:
    """One attempt of one pipeline's run; the key is (workspace, ci_id, environment, attempt)."""

    ci_run_id: CiRunId
    workspace_id: WorkspaceId
    ci_id: str
    environment: str
    attempt: int = 1
    token_access: TokenAccess
    """Of the token that opened it: decides which cache scope its results may enter."""
    job_id: JobId
    """The job that opened it."""
    branch: str | None = None
    commit: str | None = None
    nx_version: str | None = None
    distribute_on: str | None = None
    distribute_by_default: bool = True
    stop_agents_after: tuple[str, ...] = ()
    stop_agents_on_failure: bool = True
    require_explicit_completion: bool = False

    state: CiRunState = CiRunState.OPEN
    outcome: RunOutcome | None = None
    reason: RunReason | None = None
    is_failed: bool = False
    """A command failed; becomes the outcome when the run ends."""
    is_completed: bool = False
    """Completion was asked for while an invocation was still running."""
    stop_targets_finished: tuple[str, ...] = ()
    """Those of `stop_agents_after` that a finished invocation had asked for."""
    running_invocations: int = 0
    sequence: int = 0
    """The number of the run's newest event."""

    created_at: datetime
    main_seen_at: datetime
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MainJob:
    """A CI job that opened (or found) the run as its main job."""

    ci_run_id: CiRunId
    job_id: JobId
    joined_at: datetime
    left_at: datetime | None = None

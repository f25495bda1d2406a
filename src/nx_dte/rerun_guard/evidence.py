"""What can be known about the run of a pipeline before a job of it starts. Values only."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from nx_dte.gitlab import PipelineJob
    from nx_dte.model.run import CiRunState, RunOutcome
    from nx_dte.rerun_guard.recording import GuardRecord

__all__ = ["CoordinatorEvidence", "Evidence", "Mode", "PipelineShape", "Role", "RunEvidence"]


class Role(StrEnum):
    """What the asking job is."""

    MAIN = "main"
    AGENT = "agent"


class Mode(StrEnum):
    """What the guard does about a part of a pipeline that runs again."""

    STRICT = "strict"
    """A main job that runs again without agents of its own is refused: the recipe's rule, and the only safe one with a
    coordinator that cannot be asked."""
    MIRROR = "mirror"
    """It goes on, with or without agents: main can run its tasks itself, and failed mains bring their agents back."""
    OFF = "off"
    """Everything goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineShape:
    """What the guard must know of the pipeline's file. In names `*` and `?` stand for what differs."""

    main: str = "nx-dte"
    agent: str = "nx-dte-agent*"
    """Without the index that GitLab adds for `parallel`."""
    has_lazy_agents: bool = False
    """Agents with `when: manual` are started when they are needed, so a manual one counts as still to come."""

    def is_main(self, base_name: str) -> bool:
        """Whether a job of this name is a main job."""
        return fnmatchcase(base_name, self.main)

    def is_agent(self, base_name: str) -> bool:
        """Whether a job of this name is an agent."""
        return fnmatchcase(base_name, self.agent) and not self.is_main(base_name)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEvidence:
    """The newest attempt of this pipeline's CI run."""

    ci_run_id: str
    attempt: int
    state: CiRunState
    outcome: RunOutcome | None
    agents_joined: int
    agents_live: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinatorEvidence:
    """A coordinator of ours has answered."""

    run: RunEvidence | None
    """None: no main job of this pipeline has opened a CI run yet."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything known. What is None could not be found out; `notes` say why."""

    pipeline_id: str | None
    job_id: str | None
    job_name: str | None
    sha: str | None
    shape: PipelineShape = PipelineShape()
    guard: GuardRecord | None = None
    guard_problem: str = ""
    created_at: datetime | None = None
    """When GitLab made the asking job."""
    jobs: tuple[PipelineJob, ...] | None = None
    """All jobs of the pipeline by id, retried ones among them."""
    coordinator: CoordinatorEvidence | None = None
    notes: tuple[str, ...] = ()

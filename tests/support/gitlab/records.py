"""What the stand-in remembers: projects, runners, pipelines, jobs and their artifacts. Values only, no rules."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from tests.support.gitlab.ci_file.job_spec import JobSpec, Variable

__all__ = [
    "AccessToken",
    "Artifact",
    "Job",
    "JobStatus",
    "MergeRequest",
    "Pipeline",
    "Project",
    "Runner",
    "RunnerManager",
    "User",
]

NO_COMMIT = "0" * 40


class JobStatus(StrEnum):
    """GitLab's words for a job; a pipeline uses the same."""

    CREATED = "created"
    WAITING_FOR_RESOURCE = "waiting_for_resource"
    PREPARING = "preparing"
    PENDING = "pending"
    RUNNING = "running"
    CANCELING = "canceling"
    SUCCESS = "success"
    FAILED = "failed"
    CANCELED = "canceled"
    SKIPPED = "skipped"
    MANUAL = "manual"
    SCHEDULED = "scheduled"

    @property
    def is_completed(self) -> bool:
        """Whether nothing more happens by itself."""
        return self in _COMPLETED

    @property
    def is_cancelable(self) -> bool:
        """Whether Cancel on the pipeline reaches the job."""
        return self in _CANCELABLE


_COMPLETED = {JobStatus.SUCCESS, JobStatus.FAILED, JobStatus.CANCELED, JobStatus.SKIPPED}
_CANCELABLE = {
    JobStatus.CREATED,
    JobStatus.WAITING_FOR_RESOURCE,
    JobStatus.PREPARING,
    JobStatus.PENDING,
    JobStatus.RUNNING,
    JobStatus.SCHEDULED,
}


@dataclass(slots=True, kw_only=True)
class User:
    """Who started or retried something."""

    id: int
    username: str
    name: str
    email: str


@dataclass(slots=True, kw_only=True)
class AccessToken:
    """A personal or project access token."""

    token: str
    user: User
    scopes: frozenset[str]
    project_id: int | None = None
    """Set for a project access token: it reaches this project only."""


@dataclass(slots=True, kw_only=True)
class Project:
    """A project with a bare repository beside it."""

    id: int
    path: str
    """Namespace and name: `group/sub/name`."""
    namespace_id: int
    repository: Path
    default_branch: str = "main"
    visibility: str = "private"
    ci_file: str | None = None
    """Instead of the `.gitlab-ci.yml` of the commit."""
    protected_refs: set[str] = field(default_factory=lambda: {"main"})
    variables: dict[str, Variable] = field(default_factory=dict)
    timeout_s: int = 3600
    git_depth: int = 20
    auto_cancels: bool = True
    pipelines: int = 0
    merge_requests: int = 0
    forked_from: Project | None = None

    @property
    def namespace(self) -> str:
        """Everything before the name."""
        return self.path.rpartition("/")[0]

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]


@dataclass(slots=True, kw_only=True)
class RunnerManager:
    """One host that uses a runner's token."""

    id: int
    system_id: str
    contacted_at: datetime
    info: dict[str, object] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Runner:
    """A runner as GitLab knows it: its tags and rights stand here, not on the host."""

    id: int
    token: str
    runner_type: str
    project_ids: set[int] = field(default_factory=set)
    group_ids: set[int] = field(default_factory=set)
    description: str = ""
    maintenance_note: str | None = None
    tag_list: tuple[str, ...] = ()
    run_untagged: bool = False
    paused: bool = False
    locked: bool = False
    access_level: str = "not_protected"
    maximum_timeout: int | None = None
    created_at: datetime
    token_expires_at: datetime | None = None
    contacted_at: datetime | None = None
    managers: dict[str, RunnerManager] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class MergeRequest:
    """An open merge request."""

    id: int
    iid: int
    project: Project
    source_project: Project
    source_branch: str
    target_branch: str
    title: str
    state: str = "opened"

    @property
    def ref_path(self) -> str:
        """The ref of its head in the target project."""
        return f"refs/merge-requests/{self.iid}/head"


@dataclass(slots=True, kw_only=True)
class Pipeline:
    """One pipeline; `jobs` holds every row, retried ones too."""

    id: int
    iid: int
    project: Project
    user: User
    source: str
    ref: str
    """A branch or tag, or the merge request's ref path."""
    is_tag: bool
    sha: str
    before_sha: str
    created_at: datetime
    stages: tuple[str, ...]
    merge_request: MergeRequest | None = None
    variables: dict[str, Variable] = field(default_factory=dict)
    """Given by who started it; they win over those of the file."""
    name: str | None = None
    jobs: list[Job] = field(default_factory=list)
    status: JobStatus = JobStatus.CREATED
    started_at: datetime | None = None
    finished_at: datetime | None = None
    is_kept: bool = False
    """A newer commit does not cancel it."""

    @property
    def source_ref(self) -> str:
        """The branch or tag a person would name."""
        return self.merge_request.source_branch if self.merge_request else self.ref

    @property
    def latest(self) -> list[Job]:
        """The jobs that count: of each name the newest."""
        return [job for job in self.jobs if not job.is_retried]

    @property
    def is_protected(self) -> bool:
        """Whether its ref is protected; a merge request's never is here."""
        return self.merge_request is None and self.ref in self.project.protected_refs


@dataclass(slots=True, kw_only=True)
class Artifact:
    """One uploaded file of a job."""

    filename: str
    content: bytes
    file_type: str
    file_format: str
    expire_at: datetime | None = None


@dataclass(slots=True, kw_only=True)
class Job:
    """One job row. A retry makes a new one and marks this `is_retried`."""

    id: int
    token: str
    pipeline: Pipeline
    spec: JobSpec
    user: User
    created_at: datetime
    stage_index: int
    status: JobStatus = JobStatus.CREATED
    allow_failure: bool = False
    is_retried: bool = False
    is_enqueued_at_once: bool = False
    """A played or singly retried manual job does not wait to be played again."""
    cancels_gracefully: bool = False
    """Its runner said that it can be told `canceling` and run after_script still."""
    queued_at: datetime | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    updated_at: datetime | None = None
    erased_at: datetime | None = None
    runner: Runner | None = None
    manager: RunnerManager | None = None
    failure_reason: str | None = None
    exit_code: int | None = None
    trace: bytearray = field(default_factory=bytearray)
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    dotenv: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its name, with index and total where it is parallel."""
        return self.spec.name

    @property
    def project(self) -> Project:
        """Where it runs."""
        return self.pipeline.project

    @property
    def timeout_s(self) -> int:
        """Seconds it may run: its own or the project's, at most the runner's."""
        wanted = self.spec.timeout_s or self.project.timeout_s
        maximum = self.runner.maximum_timeout if self.runner else None
        return min(wanted, maximum) if maximum else wanted

    @property
    def is_on_runner(self) -> bool:
        """Whether its runner may still speak for it."""
        return self.status in {JobStatus.RUNNING, JobStatus.CANCELING}

    @property
    def is_retryable(self) -> bool:
        """Whether Retry is offered: it has ended (or is being cancelled) and has no newer row."""
        return not self.is_retried and self.status in {
            JobStatus.SUCCESS,
            JobStatus.FAILED,
            JobStatus.CANCELED,
            JobStatus.CANCELING,
        }

    @property
    def retries(self) -> int:
        """How many older rows of its name there are."""
        return sum(1 for job in self.pipeline.jobs if job.name == self.name and job.is_retried)

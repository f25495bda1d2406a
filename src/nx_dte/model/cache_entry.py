"""The cache entry: from a task hash to an artifact, within a scope."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from nx_dte.model.ids import ArtifactId, CiRunId, JobId, TaskHash, WorkspaceId


class CacheScope(StrEnum):
    """Who may read an entry."""

    SHARED = "shared"
    RUN = "run"


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheEntry:
    """A success that may be served again; written once, never changed."""

    workspace_id: WorkspaceId
    scope: CacheScope
    scope_id: str
    """Empty for `shared`, else the CI run's id."""
    task_hash: TaskHash
    artifact_id: ArtifactId
    size: int
    code: int
    producer_ci_run_id: CiRunId | None
    producer_job_id: JobId | None
    producer_ref: str | None
    created_at: datetime
    last_used_at: datetime
    """When a lookup last answered with it; brought forward in steps."""

"""The artifact: the archive of one task's outputs, named by the digest of its bytes."""

from dataclasses import dataclass
from datetime import datetime

from nx_dte.model.ids import ArtifactId, CiRunId, WorkspaceId


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A stored archive: durable before its row exists."""

    workspace_id: WorkspaceId
    artifact_id: ArtifactId
    size: int
    created_at: datetime
    ci_run_id: CiRunId | None = None
    """The run that uploaded it first."""

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
    last_used_at: datetime
    """When it was last uploaded, named in a lookup's answer or downloaded; brought forward in steps, so it may lag a little."""
    blob_key: str
    """Where its bytes are in the object store: a name that no other artifact ever had or will have."""
    ci_run_id: CiRunId | None = None
    """The run that uploaded it last."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleArtifact:
    """An artifact that has not been used for a while, and what still refers to it."""

    artifact: Artifact
    is_needed: bool
    """A live run's task names it, or a live run uploaded it."""
    is_named: bool
    """A task, a cache entry or the run that uploaded it is still remembered."""

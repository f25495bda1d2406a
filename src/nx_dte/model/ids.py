"""Ids. Ours are ULIDs made by an injected factory; Nx's and GitLab's are kept as they come."""

from typing import NamedTuple, NewType, Protocol

WorkspaceId = NewType("WorkspaceId", str)
TokenId = NewType("TokenId", str)
CiRunId = NewType("CiRunId", str)
InvocationId = NewType("InvocationId", str)
LeaseId = NewType("LeaseId", str)
AgentId = NewType("AgentId", str)
RecordId = NewType("RecordId", str)

TaskId = NewType("TaskId", str)
"""Nx's own: `project:target[:configuration]`; unique within an invocation."""
TaskHash = NewType("TaskHash", str)
"""Nx's computation hash: the key of the cache."""
ArtifactId = NewType("ArtifactId", str)
"""The sha256 (64 hex digits) of the archive's bytes."""
JobId = NewType("JobId", str)
"""The CI system's id of one job; compared for equality only."""


class TaskKey(NamedTuple):
    """A task id is unique only within its invocation; this is unique everywhere."""

    invocation_id: InvocationId
    task_id: TaskId


class IdFactory(Protocol):
    """Makes a fresh, sortable id; injected, so that decisions can be replayed."""

    def __call__(self) -> str:
        """Return an id never returned before."""
        ...

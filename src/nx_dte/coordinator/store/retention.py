"""The port's part for what is deleted in time, and for artifacts' blobs until then.

Every deletion is bounded, so that no transaction holds the database up for long; callers repeat until nothing is left.
Deleting the same things from several coordinators at once is safe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    from nx_dte.model.artifact import Artifact, IdleArtifact
    from nx_dte.model.cache_entry import CacheEntry
    from nx_dte.model.ids import ArtifactId, CiRunId, WorkspaceId


class RetentionReads(Protocol):
    """The questions."""

    def runs_ended_before(self, moment: datetime, limit: int) -> tuple[CiRunId, ...]:
        """CI runs that are over since then, oldest first."""
        ...

    def unnamed_artifacts(self, used_before: datetime, limit: int) -> tuple[Artifact, ...]:
        """Artifacts that nothing remembered refers to, longest unused first."""
        ...

    def unneeded_artifacts(self, used_before: datetime, limit: int) -> tuple[Artifact, ...]:
        """Artifacts that no live run needs, longest unused first."""
        ...

    def artifact_bytes(self) -> int:
        """How many bytes all artifacts have together."""
        ...

    def has_abandoned_blobs(self, reserved_before: datetime) -> bool:
        """Whether there is anything for `condemn_abandoned_blobs`."""
        ...

    def condemned_blobs(self, limit: int) -> tuple[str, ...]:
        """Keys of blobs that are to be removed."""
        ...


class RetentionChanges(Protocol):
    """The changes."""

    def keep_artifacts(self, workspace_id: WorkspaceId, artifact_ids: Collection[ArtifactId]) -> None:
        """Wait for whoever deletes them, and keep them from being deleted until the transaction ends."""
        ...

    def insert_artifact(self, artifact: Artifact, *, lost_blob_key: str | None) -> Artifact:
        """Keep its row and release its blob's reservation; returns the row that is kept.

        A row that is there wins, counts as used now, and the new blob is condemned; but one whose blob is
        `lost_blob_key`, which the caller did not find, takes the new one.

        Raises:
            BlobNotReservedError: the reservation is gone, and with it perhaps the blob.
        """
        ...

    def reuse_artifact(self, artifact: Artifact) -> Artifact | None:
        """Note that an artifact of these bytes is used now by another CI run; None when there is none."""
        ...

    def touch_artifacts(
        self, workspace_id: WorkspaceId, artifact_ids: Collection[ArtifactId], at: datetime
    ) -> None:
        """Note that they are used; those that are gone stay gone."""
        ...

    def touch_cache_entries(self, entries: Sequence[CacheEntry], at: datetime) -> None:
        """Note that they are used; those that are gone stay gone."""
        ...

    def lock_idle_artifacts(self, artifacts: Collection[Artifact]) -> tuple[IdleArtifact, ...]:
        """Those that still exist and that nobody is using right now, with what refers to them now.

        They stay locked: whoever would refer to one of them waits, and then finds it or does not.
        """
        ...

    def delete_artifacts(self, artifacts: Collection[Artifact], at: datetime) -> None:
        """Delete locked artifacts with their cache entries, and condemn their blobs."""
        ...

    def delete_part_of_run(self, ci_run_id: CiRunId, limit: int) -> int:
        """Delete up to `limit` rows of a CI run that is over, itself last; 0 when nothing is left of it."""
        ...

    def delete_unused_cache_entries(self, used_before: datetime, limit: int) -> int:
        """Delete shared entries not used since; returns how many."""
        ...

    def delete_forgotten_tasks(self, learned_before: datetime, limit: int) -> int:
        """Delete what was learned of tasks and not confirmed since; 0 when nothing of it is left."""
        ...

    def reserve_blob(self, blob_key: str, at: datetime) -> None:
        """Remember that a blob may be written under this key, before it is."""
        ...

    def condemn_abandoned_blobs(self, reserved_before: datetime) -> int:
        """Condemn what was reserved and never became an artifact; returns how many."""
        ...

    def forget_blobs(self, blob_keys: Collection[str]) -> None:
        """Forget condemned blobs that have been removed."""
        ...

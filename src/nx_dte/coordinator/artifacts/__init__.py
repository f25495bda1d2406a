"""The object store: archives of task outputs, named by the sha256 of their bytes.

An upload is staged, checked, made durable and only then published, so a name never points at missing or partial
bytes. This package knows nothing of runs or tasks. It is the only one that imports obstore.
"""

from nx_dte.coordinator.artifacts.base import BlobStore
from nx_dte.coordinator.artifacts.errors import (
    ArtifactTooLargeError,
    DigestMismatchError,
    NoSpaceError,
    UnsafeArchiveError,
    UploadCutError,
)
from nx_dte.coordinator.artifacts.inspection import inspect_archive
from nx_dte.coordinator.artifacts.service import ArtifactService, StoredArtifact
from nx_dte.coordinator.artifacts.urls import open_blob_store

__all__ = [
    "ArtifactService",
    "ArtifactTooLargeError",
    "BlobStore",
    "DigestMismatchError",
    "NoSpaceError",
    "StoredArtifact",
    "UnsafeArchiveError",
    "UploadCutError",
    "inspect_archive",
    "open_blob_store",
]

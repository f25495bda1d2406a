"""The object store: archives of task outputs, each under a key of its own.

An upload is staged, checked, made durable and only then published, so a key never points at partial bytes. This package
knows nothing of runs or tasks. It is the only one that imports obstore.
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
from nx_dte.coordinator.artifacts.service import ArtifactService
from nx_dte.coordinator.artifacts.staging import StagedUpload
from nx_dte.coordinator.artifacts.urls import open_blob_store

__all__ = [
    "ArtifactService",
    "ArtifactTooLargeError",
    "BlobStore",
    "DigestMismatchError",
    "NoSpaceError",
    "StagedUpload",
    "UnsafeArchiveError",
    "UploadCutError",
    "inspect_archive",
    "open_blob_store",
]

"""What can go wrong with an artifact."""

from nx_dte.errors import NxDteError


class ArtifactTooLargeError(NxDteError):
    """The artifact is larger than this coordinator accepts."""

    code = "artifact_too_large"


class DigestMismatchError(NxDteError):
    """The bytes that arrived are not the ones that were announced."""

    code = "digest_mismatch"


class UploadCutError(NxDteError):
    """The upload ended before all announced bytes had arrived."""

    code = "upload_cut"


class UnsafeArchiveError(NxDteError):
    """The upload is no archive of a task's outputs, or it could write outside the workspace."""

    code = "unsafe_archive"


class NoSpaceError(NxDteError):
    """The coordinator has no space left to keep the artifact."""

    code = "no_space"

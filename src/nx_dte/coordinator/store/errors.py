"""What a store refuses."""

from nx_dte.errors import EXIT_COORDINATOR_LOST, NxDteError


class ConflictError(NxDteError):
    """Another writer was faster, or a constraint forbids the change; load again and decide again."""

    code = "unavailable"


class StoreClosedError(NxDteError):
    """The coordinator is stopping; ask again when it is back."""

    code = "unavailable"


class StoreUnreachableError(NxDteError):
    """The coordinator's database does not answer; try again."""

    code = "unavailable"
    exit_code = EXIT_COORDINATOR_LOST


class StoreFullError(NxDteError):
    """The database has no space left; nothing was changed, and nothing will be until somebody makes room."""

    code = "no_space"


class BlobNotReservedError(NxDteError):
    """An upload took so long that its blob was given up meanwhile; upload it again."""

    code = "upload_cut"

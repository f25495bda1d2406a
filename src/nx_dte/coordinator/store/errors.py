"""What a store refuses."""

from nx_dte.errors import NxDteError


class ConflictError(NxDteError):
    """Another writer was faster, or a constraint forbids the change; load again and decide again."""

    code = "unavailable"


class StoreClosedError(NxDteError):
    """The coordinator is stopping; ask again when it is back."""

    code = "unavailable"

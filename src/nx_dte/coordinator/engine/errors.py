"""What the engine refuses before it asks for a decision."""

from nx_dte.errors import NxDteError


class NotFoundError(NxDteError):
    """There is no such thing in this workspace."""

    code = "not_found"


class LeaseNotLiveError(NxDteError):
    """The lease is not live any more."""

    code = "lease_not_live"


class TokenReadOnlyError(NxDteError):
    """A read-only token may not do this."""

    code = "token_read_only"

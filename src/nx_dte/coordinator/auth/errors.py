"""Why a request is not let in."""

from nx_dte.errors import NxDteError


class TokenMissingError(NxDteError):
    """The request carries no token; send it as the authorization header (set NX_CLOUD_ACCESS_TOKEN)."""

    code = "token_missing"


class TokenUnknownError(NxDteError):
    """The token is unknown, revoked or expired; ask the coordinator's operator for another."""

    code = "token_unknown"

"""Why a request is not let in."""

from nx_dte.errors import NxDteError


class TokenMissingError(NxDteError):
    """The request carries no token in its authorization header."""

    code = "token_missing"


class TokenUnknownError(NxDteError):
    """The token is unknown, revoked or expired."""

    code = "token_unknown"

"""Who is asking: tokens, and what they may do.

A token belongs to one workspace and is read-write or read-only. Decisions come from the token alone, never from what
a client says about itself. This package reads and writes tokens through a port; it never sees the rest of the store.
"""

from nx_dte.coordinator.auth.base import Identity, TokenRepository
from nx_dte.coordinator.auth.errors import TokenMissingError, TokenUnknownError
from nx_dte.coordinator.auth.service import AuthService, NewToken
from nx_dte.coordinator.auth.static import StaticTokens, read_or_make

__all__ = [
    "AuthService",
    "Identity",
    "NewToken",
    "StaticTokens",
    "TokenMissingError",
    "TokenRepository",
    "TokenUnknownError",
    "read_or_make",
]

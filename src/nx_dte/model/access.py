"""What a token may do, decided by the server from the token itself."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from nx_dte.model.ids import TokenId, WorkspaceId


class TokenAccess(StrEnum):
    """Both kinds distribute; only one of them writes what other runs read."""

    READ_ONLY = "read-only"
    READ_WRITE = "read-write"


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A token as it is kept: its hash, never itself."""

    token_id: TokenId
    workspace_id: WorkspaceId
    access: TokenAccess
    token_sha256: str
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

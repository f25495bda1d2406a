"""What auth needs of the store, and what it tells the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from nx_dte.model.access import Token, TokenAccess
    from nx_dte.model.ids import TokenId, WorkspaceId


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who sent a request."""

    workspace_id: WorkspaceId
    access: TokenAccess
    token_id: TokenId


class TokenRepository(Protocol):
    """Where tokens are stored. A token itself never is, only its sha256."""

    async def find_token(self, token_sha256: str) -> Token | None:
        """The token with this hash."""
        ...

    async def list_tokens(self) -> Sequence[Token]:
        """All tokens, oldest first, revoked ones too."""
        ...

    async def add_token(self, token: Token) -> None:
        """Keep a new token, and make its workspace if it is new."""
        ...

    async def revoke_token(self, token_id: TokenId, at: datetime) -> bool:
        """Revoke it; False when there is no such token."""
        ...

"""The bridge between auth and the store, which know nothing of each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from nx_dte.coordinator.store.base import Store
    from nx_dte.model.access import Token
    from nx_dte.model.ids import TokenId


class StoredTokens:
    """`TokenRepository` on a store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def find_token(self, token_sha256: str) -> Token | None:
        """The token with this hash."""
        return await self._store.read(lambda reads: reads.token_by_hash(token_sha256))

    async def list_tokens(self) -> Sequence[Token]:
        """All tokens."""
        return await self._store.read(lambda reads: reads.tokens())

    async def add_token(self, token: Token) -> None:
        """Keep a new token."""
        await self._store.write(lambda session: session.insert_token(token))

    async def revoke_token(self, token_id: TokenId, at: datetime) -> bool:
        """Revoke it."""
        return await self._store.write(lambda session: session.revoke_token(token_id, at))

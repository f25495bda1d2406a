"""Judging tokens, with a short memory so that a request costs no query."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nx_dte.coordinator.auth.base import Identity
from nx_dte.coordinator.auth.errors import TokenMissingError, TokenUnknownError
from nx_dte.coordinator.auth.hashing import hash_token
from nx_dte.coordinator.auth.static import TOKEN_BYTES
from nx_dte.model.access import Token

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta

    from nx_dte.coordinator.auth.base import TokenRepository
    from nx_dte.coordinator.auth.static import StaticTokens
    from nx_dte.model.access import TokenAccess
    from nx_dte.model.ids import TokenId, WorkspaceId

MEMORY_S = 5.0  # a revoked token works at most this much longer
MEMORY_SIZE = 1024  # bounded, so that guessing tokens cannot fill memory
_BEARER = "bearer"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewToken:
    """A token at the only moment it can be seen."""

    token_id: TokenId
    token: str


class AuthService:
    """Turns an authorization header into an identity."""

    def __init__(
        self,
        *,
        static: StaticTokens,
        repository: TokenRepository,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        count: Callable[[str, str], None] = lambda _decision, _reason: None,
    ) -> None:
        self._static = static
        self._repository = repository
        self._now = now
        self._monotonic = monotonic
        self._count = count
        self._memory: OrderedDict[str, tuple[float, Identity | None]] = OrderedDict()

    async def identify(self, authorization: str | None) -> Identity:
        """The identity behind `authorization: <token>` or `authorization: Bearer <token>`.

        Raises:
            TokenMissingError: there is no token.
            TokenUnknownError: it opens nothing.
        """
        token = (authorization or "").strip()
        kind, _, rest = token.partition(" ")
        if kind.lower() == _BEARER:
            token = rest.strip()
        if not token:
            self._count("refused", "missing")
            raise TokenMissingError
        identity = await self._find(hash_token(token))
        if identity is None:
            self._count("refused", "unknown")
            raise TokenUnknownError
        self._count("accepted", identity.access.value)
        return identity

    async def _find(self, token_sha256: str) -> Identity | None:
        if (static := self._static.find(token_sha256)) is not None:
            return static
        remembered = self._memory.get(token_sha256)
        if remembered is not None and remembered[0] > self._monotonic():
            return remembered[1]
        identity = self._judge(await self._repository.find_token(token_sha256))
        self._memory[token_sha256] = (self._monotonic() + MEMORY_S, identity)
        self._memory.move_to_end(token_sha256)
        while len(self._memory) > MEMORY_SIZE:
            self._memory.popitem(last=False)
        return identity

    def _judge(self, record: Token | None) -> Identity | None:
        if record is None or record.revoked_at is not None:
            return None
        if record.expires_at is not None and record.expires_at <= self._now():
            return None
        return Identity(workspace_id=record.workspace_id, access=record.access, token_id=record.token_id)

    async def create(
        self,
        *,
        workspace_id: WorkspaceId,
        access: TokenAccess,
        token_id: TokenId,
        expires_in: timedelta | None,
    ) -> NewToken:
        """Make a token; this is the only time it can be seen."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        now = self._now()
        await self._repository.add_token(
            Token(
                token_id=token_id,
                token_sha256=hash_token(token),
                workspace_id=workspace_id,
                access=access,
                created_at=now,
                expires_at=None if expires_in is None else now + expires_in,
            )
        )
        return NewToken(token_id=token_id, token=token)

    async def list_all(self) -> Sequence[Token]:
        """All stored tokens."""
        return await self._repository.list_tokens()

    async def revoke(self, token_id: TokenId) -> bool:
        """Revoke a token; False when there is none of this id."""
        self._memory.clear()
        return await self._repository.revoke_token(token_id, self._now())

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from nx_dte.coordinator.auth import AuthService, StaticTokens, TokenMissingError, TokenUnknownError
from nx_dte.model.access import Token, TokenAccess
from nx_dte.model.ids import TokenId, WorkspaceId

if TYPE_CHECKING:
    from collections.abc import Sequence

START = datetime(2026, 1, 1, tzinfo=UTC)
STATIC = "the-static-read-only-token"


class FakeRepository:
    """Tokens in a list; counts how often it was asked."""

    def __init__(self) -> None:
        self.tokens: list[Token] = []
        self.asked = 0

    async def find_token(self, token_sha256: str) -> Token | None:
        self.asked += 1
        return next((token for token in self.tokens if token.token_sha256 == token_sha256), None)

    async def list_tokens(self) -> Sequence[Token]:
        return self.tokens

    async def add_token(self, token: Token) -> None:
        self.tokens.append(token)

    async def revoke_token(self, token_id: TokenId, at: datetime) -> bool:
        found = [index for index, token in enumerate(self.tokens) if token.token_id == token_id]
        for index in found:
            self.tokens[index] = replace(self.tokens[index], revoked_at=at)
        return bool(found)


class World:
    """An auth service with a clock in our hands."""

    def __init__(self) -> None:
        self.passed = timedelta()
        self.repository = FakeRepository()
        self.decisions: list[tuple[str, str]] = []
        self.auth = AuthService(
            static=StaticTokens({TokenAccess.READ_ONLY: STATIC}),
            repository=self.repository,
            now=lambda: START + self.passed,
            monotonic=self.monotonic,
            count=lambda decision, reason: self.decisions.append((decision, reason)),
        )

    def monotonic(self) -> float:
        return self.passed.total_seconds()

    async def create(self, expires_in: timedelta | None = None) -> str:
        made = await self.auth.create(
            workspace_id=WorkspaceId("team"),
            access=TokenAccess.READ_WRITE,
            token_id=TokenId("T1"),
            expires_in=expires_in,
        )
        return made.token


@pytest.fixture
def world() -> World:
    return World()


@pytest.mark.parametrize("form", ["{}", "Bearer {}", "bearer  {}", " {} "])
async def test_a_token_opens_its_workspace_raw_or_as_bearer(world: World, form: str) -> None:
    token = await world.create()

    identity = await world.auth.identify(form.format(token))

    assert (identity.workspace_id, identity.access) == ("team", TokenAccess.READ_WRITE)
    assert world.decisions == [("accepted", "read-write")]


async def test_static_tokens_need_no_repository(world: World) -> None:
    identity = await world.auth.identify(STATIC)

    assert (identity.workspace_id, identity.access) == ("default", TokenAccess.READ_ONLY)
    assert world.repository.asked == 0


@pytest.mark.parametrize("header", [None, "", "   ", "Bearer", "Bearer  "])
async def test_no_token_is_missing(world: World, header: str | None) -> None:
    with pytest.raises(TokenMissingError):
        await world.auth.identify(header)
    assert world.decisions == [("refused", "missing")]


@pytest.mark.parametrize("header", ["nonsense", STATIC + "x", STATIC[:-1], "Bearer nonsense", "tok\udcffen"])
async def test_another_token_is_unknown(world: World, header: str) -> None:
    with pytest.raises(TokenUnknownError):
        await world.auth.identify(header)
    assert world.decisions == [("refused", "unknown")]


async def test_only_the_hash_is_kept(world: World) -> None:
    token = await world.create()

    assert token not in repr(world.repository.tokens)


async def test_an_expired_token_is_unknown(world: World) -> None:
    token = await world.create(expires_in=timedelta(hours=1))
    await world.auth.identify(token)

    world.passed = timedelta(hours=1)

    with pytest.raises(TokenUnknownError):
        await world.auth.identify(token)


async def test_a_revoked_token_stops_working_at_once_here_and_within_seconds_elsewhere(world: World) -> None:
    token = await world.create()
    await world.auth.identify(token)
    elsewhere = AuthService(
        static=StaticTokens({}),
        repository=world.repository,
        now=lambda: START + world.passed,
        monotonic=world.monotonic,
    )
    await elsewhere.identify(token)

    assert await world.auth.revoke(TokenId("T1"))

    with pytest.raises(TokenUnknownError):
        await world.auth.identify(token)
    world.passed = timedelta(seconds=10)
    with pytest.raises(TokenUnknownError):
        await elsewhere.identify(token)


async def test_revoking_what_is_not_there_says_so(world: World) -> None:
    assert not await world.auth.revoke(TokenId("none"))


async def test_many_requests_cost_one_query(world: World) -> None:
    token = await world.create()

    for _ in range(100):
        await world.auth.identify(token)

    assert world.repository.asked == 1


async def test_guessing_tokens_does_not_fill_memory(world: World) -> None:
    for guess in range(3000):
        with pytest.raises(TokenUnknownError):
            await world.auth.identify(f"guess-{guess}")

    assert len(world.auth._memory) <= 1024

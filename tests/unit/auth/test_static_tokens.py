from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

import pytest

from nx_dte.coordinator.auth import StaticTokens, read_or_make
from nx_dte.coordinator.auth.hashing import hash_token
from nx_dte.errors import ConfigurationError
from nx_dte.model.access import TokenAccess

if TYPE_CHECKING:
    from pathlib import Path

LONG = "a-token-that-is-long-enough"


def access_of(tokens: StaticTokens, token: str) -> TokenAccess | None:
    identity = tokens.find(hash_token(token))
    return None if identity is None else identity.access


def test_the_first_start_makes_both_tokens_for_their_owner_only(tmp_path: Path) -> None:
    tokens, made = read_or_make(values={}, files={}, folder=tmp_path / "tokens")

    assert {file.name for file in made} == {"read-write", "read-only"}
    for file in made:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert access_of(tokens, file.read_text().strip()) == TokenAccess(file.name)


def test_a_second_start_keeps_them(tmp_path: Path) -> None:
    read_or_make(values={}, files={}, folder=tmp_path)
    before = (tmp_path / "read-write").read_text().strip()

    tokens, made = read_or_make(values={}, files={}, folder=tmp_path)

    assert made == []
    assert access_of(tokens, before) is TokenAccess.READ_WRITE


def test_a_first_start_that_dies_in_the_middle_is_no_hindrance_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        read_or_make(values={}, files={}, folder=tmp_path)
    monkeypatch.undo()

    _, made = read_or_make(values={}, files={}, folder=tmp_path)

    assert {file.name for file in made} == {"read-write", "read-only"}


def test_configured_tokens_are_used_and_none_is_made(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(LONG + "\n")

    tokens, made = read_or_make(
        values={TokenAccess.READ_WRITE: "a-token-from-the-environment"},
        files={TokenAccess.READ_ONLY: file},
        folder=tmp_path / "tokens",
    )

    assert made == []
    assert not (tmp_path / "tokens").exists()
    assert access_of(tokens, "a-token-from-the-environment") is TokenAccess.READ_WRITE
    assert access_of(tokens, LONG) is TokenAccess.READ_ONLY


@pytest.mark.parametrize("content", ["short", "", "has a space in its middle"])
def test_a_bad_token_file_is_named_but_its_content_is_not(tmp_path: Path, content: str) -> None:
    file = tmp_path / "token"
    file.write_text(content)

    with pytest.raises(ConfigurationError, match="token") as caught:
        read_or_make(values={}, files={TokenAccess.READ_ONLY: file}, folder=tmp_path)

    assert not content or content not in caught.value.message.replace(str(file), "")


def test_a_missing_token_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="nowhere"):
        read_or_make(values={}, files={TokenAccess.READ_ONLY: tmp_path / "nowhere"}, folder=tmp_path)

"""The two tokens of workspace `default`: from the settings, or made at the first start."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

from nx_dte.coordinator.auth.base import Identity
from nx_dte.coordinator.auth.hashing import hash_token, is_same_hash
from nx_dte.errors import ConfigurationError
from nx_dte.model.access import TokenAccess
from nx_dte.model.ids import TokenId, WorkspaceId

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_WORKSPACE = WorkspaceId("default")
TOKEN_BYTES = 32
MIN_LENGTH = 16


class StaticTokens:
    """Tokens that live outside the store and work as long as they are configured."""

    def __init__(self, tokens: dict[TokenAccess, str]) -> None:
        self._known = [
            (
                hash_token(token),
                Identity(workspace_id=DEFAULT_WORKSPACE, access=access, token_id=TokenId(access.value)),
            )
            for access, token in tokens.items()
        ]

    def find(self, token_sha256: str) -> Identity | None:
        """The identity behind a hash; every known hash is compared, in constant time."""
        found = None
        for known, identity in self._known:
            if is_same_hash(known, token_sha256):
                found = identity
        return found


def read_or_make(
    *, values: dict[TokenAccess, str | None], files: dict[TokenAccess, Path | None], folder: Path
) -> tuple[StaticTokens, list[Path]]:
    """Collect both tokens; returns them and the files that were made now.

    If either is configured, nothing is made: an operator who sets only one wants only one.
    """
    tokens: dict[TokenAccess, str] = {}
    for access in TokenAccess:
        value, file = values.get(access), files.get(access)
        if value is not None:
            tokens[access] = value
        elif file is not None:
            tokens[access] = _read(file)
    made: list[Path] = []
    if not tokens:
        for access in TokenAccess:
            file = folder / access.value
            if not file.exists():
                _write_new(file, secrets.token_urlsafe(TOKEN_BYTES))
                made.append(file)
            tokens[access] = _read(file)
    return StaticTokens(tokens), made


def _read(file: Path) -> str:
    try:
        token = file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigurationError(f"cannot read the token file {file}: {error.strerror}") from error
    if len(token) < MIN_LENGTH or not token.isprintable() or " " in token:
        raise ConfigurationError(
            f"the token in {file} must be {MIN_LENGTH} printable characters or more, without spaces"
        )
    return token


def _write_new(file: Path, token: str) -> None:
    """Whole or not at all: a crash or a full disk in the middle must not leave a token that no later start can use."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    unfinished = file.with_name(f".{file.name}.new")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        out.write(token + "\n")
        out.flush()
        os.fsync(out.fileno())
    unfinished.replace(file)

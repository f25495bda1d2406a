"""Changes of `config.toml` by the runner itself: it writes the whole file anew, as the real one does."""

from __future__ import annotations

import os
import tomllib
from typing import TYPE_CHECKING, Any

import tomli_w

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.runner.config import Entry

__all__ = ["forget", "keep_token"]


def keep_token(file: Path, old: Entry, new: Entry) -> None:
    """Put a new token in the place of the old one, with its dates."""

    def change(tables: list[dict[str, Any]]) -> list[dict[str, Any]]:
        for table in tables:
            if table.get("token") == old.token:
                table["token"] = new.token
                table["token_obtained_at"] = new.token_obtained_at
                if new.token_expires_at is None:
                    table.pop("token_expires_at", None)
                else:
                    table["token_expires_at"] = new.token_expires_at
        return tables

    _rewrite(file, change)


def forget(file: Path, tokens: set[str]) -> None:
    """Remove the entries with these tokens."""
    _rewrite(file, lambda tables: [table for table in tables if table.get("token") not in tokens])


def _rewrite(file: Path, change: Callable[[list[dict[str, Any]]], list[dict[str, Any]]]) -> None:
    values = tomllib.loads(file.read_text(encoding="utf-8"))
    values["runners"] = change(values.get("runners", []))
    new = file.with_suffix(".new")
    with os.fdopen(
        os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8"
    ) as output:
        output.write(tomli_w.dumps(values))
    new.chmod(0o600)
    new.replace(file)

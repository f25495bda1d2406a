"""Column types that keep their meaning on every dialect."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy
from sqlalchemy import DateTime
from sqlalchemy.types import TypeDecorator

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Dialect

_NUL, _REPLACEMENT = "\0", "\ufffd"


class Text(TypeDecorator[str]):
    """Text as programs print it. PostgreSQL cannot keep NUL, so there it becomes the sign for what is not readable."""

    impl: type[sqlalchemy.String] = sqlalchemy.Text
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Callable[[str | None], str | None] | None:
        """Cost nothing where nothing is to be done."""
        return _replace_nul if dialect.name == "postgresql" else None


def _replace_nul(value: str | None) -> str | None:
    return value if value is None or _NUL not in value else value.replace(_NUL, _REPLACEMENT)


class String(Text):
    """The same, up to a length."""

    impl = sqlalchemy.String
    cache_ok = True


class UtcTime(TypeDecorator[datetime]):
    """An aware time in UTC. SQLite keeps no zone; there it is text that sorts as time does."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive times, and store UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a zone cannot be stored")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give UTC back."""
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class JsonText(TypeDecorator[Any]):
    """Small JSON values as text; never queried into, so no dialect's JSON type is needed."""

    impl = sqlalchemy.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Write JSON."""
        del dialect
        return None if value is None else json.dumps(value, separators=(",", ":"), ensure_ascii=False)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Read JSON."""
        del dialect
        return None if value is None else json.loads(value)

"""Keeps secrets out of what is shown, whatever a check or a program's message says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Mask"]

MASKED = "[masked]"
_SECRET = re.compile(r"(TOKEN|PASSWORD|PASSWD|SECRET|KEY|CREDENTIALS?)$")
_IN_ADDRESS = re.compile(r"(?<=://)[^/\s@]+@")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
_SHORTEST = 4
"""Shorter values would take harmless words with them."""
_HARMLESS = frozenset({"true", "false", "none", "null"})


class Mask:
    """Replaces the values of a job's secret variables, and whatever stands before the @ of an address."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        values = {value.strip() for name, value in environ.items() if _SECRET.search(name)}
        # The longest first: one secret may be a part of another.
        self._secrets = sorted(
            (value for value in values if len(value) >= _SHORTEST and value.lower() not in _HARMLESS),
            key=lambda value: (-len(value), value),
        )

    def __call__(self, text: str) -> str:
        """The text without secrets and control characters, on one line."""
        for secret in self._secrets:
            text = text.replace(secret, MASKED)
        return " ".join(_CONTROL.sub(" ", _IN_ADDRESS.sub("", text)).split())

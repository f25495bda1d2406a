"""Versions as numbers."""

from __future__ import annotations

import re

__all__ = ["dotted", "version_of"]

_VERSION = re.compile(r"\d+(?:\.\d+)+|\d+")


def version_of(text: str | None) -> tuple[int, ...] | None:
    """The first version in a text, as numbers: (18, 20, 8) for `v18.20.8`; None if there is none."""
    match = _VERSION.search(text or "")
    return None if match is None else tuple(int(part) for part in match[0].split("."))


def dotted(version: tuple[int, ...]) -> str:
    """The way people write it."""
    return ".".join(str(part) for part in version)

"""Reads a workspace's own files; whatever cannot be read is left to Nx, which says so."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["read_json"]


def read_json(file: Path) -> dict[str, object]:
    """A JSON object; empty where there is none."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}

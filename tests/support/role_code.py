"""Loads the Python of roles, which lies where Ansible looks for it and is in no package."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["ROLES", "code_of"]

ROLES = Path(__file__).resolve().parents[2] / "roles"


def code_of(path: str, *, name: str | None = None) -> ModuleType:
    """A module or a filter, by its path below `roles`; with a `name` others can import it by that, as Ansible lets them."""
    file = ROLES / path
    spec = importlib.util.spec_from_file_location(name or file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    if name is not None:
        sys.modules[name] = module
    spec.loader.exec_module(module)
    return module

"""Reads which scenarios there are, and what their hosts start from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["Scenario", "ScenarioError", "read_scenarios"]


class ScenarioError(Exception):
    """A scenario is asked for that there is not, or its file cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One folder below molecule/ that has a molecule.yml."""

    name: str
    images: frozenset[str]
    """What its hosts start from."""
    instances: tuple[str, ...]
    network: str


def read_scenarios(root: Path, names: Sequence[str] = ()) -> list[Scenario]:
    """Those of these names, all without one, in order.

    Raises:
        ScenarioError: there is none of a name, or its hosts cannot be read.
    """
    files = {file.parent.name: file for file in sorted((root / "molecule").glob("*/molecule.yml"))}
    if unknown := sorted(set(names) - files.keys()):
        raise ScenarioError(
            f"there is no scenario {', '.join(unknown)}; molecule/ has {', '.join(files) or 'none'}"
        )
    return [_read(file) for name, file in files.items() if not names or name in names]


def _read(file: Path) -> Scenario:
    content = yaml.safe_load(file.read_text(encoding="utf-8"))
    try:
        platforms = content["platforms"]
        return Scenario(
            name=file.parent.name,
            images=frozenset(platform["image"] for platform in platforms),
            instances=tuple(platform["name"] for platform in platforms),
            network=platforms[0]["networks"][0]["name"],
        )
    except (KeyError, IndexError, TypeError) as error:
        raise ScenarioError(
            f"{file}: each of `platforms` needs name, image and networks with a name and an ipv4_address ({error!r})"
        ) from error

"""Reads images/versions.toml."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Base", "Package", "Versions", "read_versions"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """An official image that ours are made from."""

    key: str
    name: str
    digest: str | None

    @property
    def reference(self) -> str:
        """What is pulled: by digest where one is set."""
        return self.name if self.digest is None else f"{self.name}@{self.digest}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """One package of npm that a stand-in holds."""

    name: str
    version: str
    integrity: str
    """npm's own digest of the packed package: sha512-, then base64."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """The whole file."""

    runner: str
    coordinator: str
    default_node: str
    node: dict[str, str]
    """Node's majors, each with what its full version begins with."""
    tools: dict[str, str]
    bases: dict[str, Base]
    stand_ins: dict[str, tuple[Package, ...]]


def read_versions(root: Path) -> Versions:
    """The file of the checkout at `root`."""
    content: dict[str, Any] = tomllib.loads((root / "images/versions.toml").read_text(encoding="utf-8"))
    return Versions(
        runner=content["images"]["runner"],
        coordinator=content["images"]["coordinator"],
        default_node=content["node"]["default"],
        node=content["node"]["majors"],
        tools=content["tools"],
        bases={
            key: Base(key=key, name=entry["name"], digest=entry.get("digest"))
            for key, entry in content["bases"].items()
        },
        stand_ins={
            key: tuple(Package(name=name, **entry) for name, entry in packages.items())
            for key, packages in content["stand_ins"].items()
        },
    )

"""Which of some packages, files of the control machine, a host has not got."""

from __future__ import annotations

from pathlib import PurePath
from typing import TYPE_CHECKING
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Callable


class FilterModule:
    """The filters."""

    def filters(self) -> dict[str, Callable[..., list[str]]]:
        """By name."""
        return {"nx_dte_packages_missing": missing}


def missing(files: list[str], there: str) -> list[str]:
    """Those whose name and version is not among dpkg's lines, each NAME_VERSION_STATUS."""
    installed = set(there.split())
    return [file for file in files if f"{_named(file)}_installed" not in installed]


def _named(file: str) -> str:
    """NAME_VERSION of a file that apt has named."""
    return "_".join(unquote(PurePath(file).stem).split("_")[:2])

"""Where things are in the repository: the example workspace, Node 18, yarn, the cache folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nx_dte.demo.errors import MissingToolchainError

__all__ = ["Layout", "find_layout"]

_MARKER = Path("examples/workspace/nx.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The folders of one checkout of this repository."""

    root: Path

    @property
    def example(self) -> Path:
        """The example workspace, as it stands in the repository."""
        return self.root / _MARKER.parent

    @property
    def cache(self) -> Path:
        """What setup and the demo keep between runs."""
        return self.root / ".cache"

    @property
    def toolchain_path(self) -> str:
        """The folders to put first on a job's PATH."""
        return ":".join(str(self.cache / "toolchain" / name / "bin") for name in ("node18", "yarn"))

    def check(self) -> None:
        """Raise if a program the jobs need is not there."""
        for name, program in (("node18", "node"), ("yarn", "yarn")):
            file = self.cache / "toolchain" / name / "bin" / program
            if not file.exists():
                raise MissingToolchainError(f"{file} is missing; run `make setup` in {self.root}")


def find_layout(start: Path | None = None) -> Layout:
    """Walk up from `start` (and then from this file) to the checkout that holds the example workspace."""
    for origin in (start or Path.cwd(), Path(__file__).parent):
        for folder in (origin, *origin.parents):
            if (folder / _MARKER).is_file():
                return Layout(root=folder.resolve())
    raise MissingToolchainError("the example workspace is not here; run this inside a checkout of nx-dte")

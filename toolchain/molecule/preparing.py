"""Makes what scenarios take for granted: images of hosts, the project's own images, packages."""

from __future__ import annotations

import contextlib
import fcntl
from typing import TYPE_CHECKING

from toolchain.images.build import build, coordinator_image, runner_image
from toolchain.images.certificates import extra_certificates
from toolchain.images.versions import read_versions
from toolchain.molecule.hosts import build_all
from toolchain.molecule.packages import build_packages

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from toolchain.molecule.scenarios import Scenario

__all__ = ["prepare"]


def prepare(root: Path, scenarios: Sequence[Scenario]) -> None:
    """Make all that these scenarios need and that is not here yet.

    Raises:
        DockerError: a step failed.
    """
    with _alone(root):
        _own_images(root)
        build_packages(root)
        build_all(root, {image for scenario in scenarios for image in scenario.images})


def _own_images(root: Path) -> None:
    """The runner's and the coordinator's image, of this checkout."""
    versions, certificates = read_versions(root), extra_certificates()
    for image in (runner_image(versions, versions.default_node), coordinator_image(versions)):
        build(root, versions, image, certificates=certificates)


@contextlib.contextmanager
def _alone(root: Path) -> Iterator[None]:
    """One process at a time makes these things: two would make them twice, in the same places."""
    folder = root / ".cache/molecule"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

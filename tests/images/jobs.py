"""Jobs in containers as GitLab's docker executor runs them, and the coordinator in a container beside them."""

from __future__ import annotations

import itertools
import os
import secrets
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2

from nx_dte.demo.api import CoordinatorApi
from nx_dte.demo.jobs import gitlab_variables
from nx_dte.demo.workspace import Clone, install_dependencies, make_origin

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nx_dte.demo.layout import Layout
    from nx_dte.demo.workspace import Origin
    from tests.images.containers import Container, Containers

__all__ = ["JOB_END_S", "Coordinator", "Jobs"]

PROJECT = "/builds/shop/corner-shop"
TOKEN = "read-write-token-of-the-tests"
JOB_END_S = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Coordinator:
    """A coordinator in a container, known to its network as `coordinator`."""

    container: Container

    @property
    def api(self) -> CoordinatorApi:
        """A reader, from this machine."""
        return CoordinatorApi(url=self.container.url(8720), token=TOKEN)

    def is_ready(self) -> bool:
        """Whether it answers."""
        try:
            return httpx2.get(f"{self.container.url(8720)}/readyz", timeout=5, trust_env=False).is_success
        except (httpx2.TransportError, IndexError):
            return False

    @classmethod
    def start(
        cls,
        containers: Containers,
        image: str,
        *,
        network: str | None = None,
        data: Path | str | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Coordinator:
        """Start one as little privileged as it may be, and wait until it is ready."""
        container = containers.start(
            image,
            options=["--read-only", "--cap-drop", "ALL", "--user", "10001", "--publish", "127.0.0.1::8720"],
            env={"NX_DTE_READ_WRITE_TOKEN": TOKEN, **(env or {})},
            network=network or containers.network(),
            alias="coordinator",
            mounts={data or containers.volume(): "/var/lib/nx-dte"},
        )
        started = cls(container=container)
        container.wait_until(started.is_ready, 60, "it is ready")
        return started


@dataclass(slots=True, kw_only=True)
class Jobs:
    """One pipeline's jobs, each with a checkout that belongs to root and that everybody may write to."""

    containers: Containers
    image: str
    network: str
    origin: Origin
    folder: Path
    pipeline_id: int = 7001
    variables: Mapping[str, str] = field(default_factory=dict)
    mounts: Mapping[Path | str, str] = field(default_factory=dict)
    """Beside the checkout."""
    _job_ids: Iterator[int] = field(default_factory=lambda: itertools.count(700_101))

    @classmethod
    def prepare(
        cls, containers: Containers, layout: Layout, image: str, *, network: str | None = None
    ) -> Jobs:
        """An origin with everything affected, for jobs in a network."""
        folder = Path(tempfile.mkdtemp(prefix="nx-dte-images-"))
        origin = make_origin(layout, folder, install_dependencies(layout))
        return cls(
            containers=containers,
            image=image,
            network=network or containers.network(),
            origin=origin,
            folder=folder,
            pipeline_id=7000 + secrets.randbelow(1000),
        )

    def point_at(self, url: str = "http://coordinator:8720", **others: str) -> None:
        """Set the two variables that a user sets, and others."""
        self.variables = {"NX_CLOUD_API": url, "NX_CLOUD_ACCESS_TOKEN": TOKEN, **others}

    def checkout(self, name: str) -> Path:
        """A clone as the runner's helper makes it: under umask 0000."""
        folder = self.folder / name
        before = os.umask(0)
        try:
            folder.mkdir(mode=0o777)
            clone = self.origin.clone(folder)
        finally:
            os.umask(before)
        return clone.path

    def script(self, name: str, lines: Sequence[str], *, image: str | None = None) -> Container:
        """Start a job that is fed its script."""
        how = self._how(name)
        return self.containers.feed(image or self.image, lines, **how)

    def command(self, name: str, *command: str) -> Container:
        """Start a container with a command of its own in a checkout, not a shell that is fed a script."""
        return self.containers.start(self.image, *command, **self._how(name))

    def _how(self, name: str) -> dict[str, Any]:
        checkout = self.checkout(name)
        clone = Clone(path=Path(PROJECT), home=Path("/home/node"), commit=self.origin.head)
        ci = gitlab_variables(
            clone,
            base=self.origin.base,
            pipeline_id=self.pipeline_id,
            job_id=next(self._job_ids),
            job_name=name,
        )
        return {
            "options": ["--workdir", PROJECT],
            "env": {**ci, **self.variables},
            "network": self.network,
            "mounts": {checkout: PROJECT, **self.mounts},
        }

    def clear(self) -> None:
        """Remove the checkouts."""
        shutil.rmtree(self.folder, ignore_errors=True)

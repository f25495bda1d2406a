"""Jobs in containers of their own image, as the real runner's docker executor does it.

The checkout is made on the host, by the runner's user under umask 0000, and mounted at /builds: it is root's and
everybody may write there. The container gets the script by standard input, through the image's own entrypoint.
"""

from __future__ import annotations

import secrets
import threading
import time
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from tests.support.runner.engine import Engine, EngineError

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.runner.config import DockerSettings, Entry
    from tests.support.runner.job import Job

__all__ = ["DockerExecutor", "ImageError"]

_LOOK_S = 0.05
_INSIDE = "/builds"
_LABEL = "com.gitlab.gitlab-runner"
# What the real runner starts in the container, to feed it the script.
_SHELL = (
    "if [ -x /usr/local/bin/bash ]; then exec /usr/local/bin/bash; "
    "elif [ -x /usr/bin/bash ]; then exec /usr/bin/bash; "
    "elif [ -x /bin/bash ]; then exec /bin/bash; else exec sh; fi"
)


class ImageError(OSError):
    """The job's image is not allowed, or cannot be had."""


@dataclass(slots=True, kw_only=True)
class DockerExecutor:
    """A container for each step of one job."""

    entry: Entry
    settings: DockerSettings
    folder: Path
    """What the job sees as /builds."""
    job: Job
    slot: int
    umask: int = 0
    engine: Engine = field(init=False)
    is_killed: bool = False
    _container: str = ""
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Find the engine."""
        self.engine = Engine(address=self.settings.host)

    @property
    def image(self) -> str:
        """The job's, else the entry's."""
        return self.job.image or self.settings.image

    def inside(self, path: Path) -> str:
        """See Executor."""
        return str(PurePosixPath(_INSIDE, path.relative_to(self.folder)))

    def hand_over(self, path: Path) -> None:
        """See Executor: everybody may write there."""

    def prepare(self, write: Callable[[bytes], None]) -> None:
        """See Executor.

        Raises:
            ImageError: the image is not allowed, or cannot be had.
        """
        write(f"Using Docker executor with image {self.image} ...\n".encode())
        allowed = self.settings.allowed_images
        if allowed and self.image != self.settings.image and not any(map(self._is_like, allowed)):
            listed = "".join(f"- {pattern}\n" for pattern in allowed)
            write(
                f'\nThe "{self.image}" image is not present on list of allowed images:\n{listed}\n'
                "Please check runner's configuration\n".encode()
            )
            raise ImageError("invalid image")
        failure = EngineError(f"no pull policy for {self.image}")
        for policy in self.settings.pull_policy:
            try:
                self._provide(policy, write)
            except EngineError as error:
                failure = error
                write(f'WARNING: Failed to pull image with policy "{policy}": {error}\n'.encode())
            else:
                self.folder.mkdir(parents=True, exist_ok=True)
                self.folder.chmod(0o777)
                return
        raise ImageError(f'failed to pull image "{self.image}": {failure}')

    def run(self, script: str, write: Callable[[bytes], None]) -> int:
        """See Executor."""
        with self._lock:
            if self.is_killed:
                return -9
            name = f"runner-{self.entry.short_token.lower()}-project-{self.job.project_id}"
            name += f"-concurrent-{self.slot}-{secrets.token_hex(8)}-build"
            self._container = self.engine.create(name, self._body())
        try:
            return self.engine.run(self._container, script.encode(), write)
        finally:
            self.engine.remove(self._container)
            self._container = ""

    def signal(self, number: signal.Signals) -> None:
        """See Executor."""
        if not (container := self._container):
            return
        if number.name == "SIGKILL":
            self.engine.kill(container)
        else:
            self.engine.tell_all(container, number.name.removeprefix("SIG"))

    def processes(self) -> list[int]:
        """See Executor: of a container its first process stands for all."""
        first = self.engine.first_process(self._container) if self._container else 0
        return [first] if first else []

    def kill(self) -> None:
        """See Executor."""
        with self._lock:
            self.is_killed = True
        while self.processes():
            self.engine.kill(self._container)
            time.sleep(_LOOK_S)

    # --------------------------------------------------------------------------------------------- inside
    def _is_like(self, pattern: str) -> bool:
        return fnmatchcase(self.image, pattern.replace("**", "*"))

    def _provide(self, policy: str, write: Callable[[bytes], None]) -> None:
        if policy != "always" and (known := self.engine.image_id(self.image)):
            write(f"Using locally found image version due to {policy!r} pull policy: {known}\n".encode())
            return
        if policy == "never":
            raise EngineError(f"No such image: {self.image}")
        write(f"Pulling docker image {self.image} ...\n".encode())
        self.engine.pull(self.image)

    def _body(self) -> dict[str, Any]:
        settings, job = self.settings, self.job
        binds = [f"{self.folder}:{_INSIDE}", *(item for item in settings.volumes if ":" in item)]
        return {
            "Image": self.image,
            "Cmd": ["sh", "-c", _SHELL],
            "OpenStdin": True,
            "StdinOnce": True,
            "AttachStdin": True,
            "AttachStdout": True,
            "AttachStderr": True,
            "User": settings.user,
            # For the image's own entrypoint; the script has them again, with those of type File.
            "Env": [*self.entry.environment, *(f"{key}={value}" for key, value in job.variables.items())],
            "Volumes": {item: {} for item in settings.volumes if ":" not in item},
            "Labels": {
                f"{_LABEL}.managed": "true",
                f"{_LABEL}.type": "build",
                f"{_LABEL}.job.id": str(job.id),
                f"{_LABEL}.project.id": str(job.project_id),
                f"{_LABEL}.pipeline.id": job.variables.get("CI_PIPELINE_ID", ""),
                f"{_LABEL}.runner.id": self.entry.short_token,
                f"{_LABEL}.runner.local_id": str(self.slot),
                **dict(settings.container_labels),
            },
            "HostConfig": {
                "Binds": binds,
                "ExtraHosts": list(settings.extra_hosts),
                "NetworkMode": settings.network_mode or "default",
                "Privileged": settings.privileged,
                "CapAdd": list(settings.cap_add),
                "CapDrop": list(settings.cap_drop),
                "SecurityOpt": list(settings.security_opt),
                "Dns": list(settings.dns),
                "Memory": settings.memory,
                "NanoCpus": int(settings.cpus * 1_000_000_000),
                "ShmSize": settings.shm_size or None,
            },
        }

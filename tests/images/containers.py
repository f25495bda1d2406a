"""Containers, networks and volumes of a test: labelled, bounded in time, and cleared away after it.

A line of a container's log that warns or complains fails the test, unless the test expects it.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import secrets
import shlex
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolchain.images.docker import DockerError, client, docker

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["Container", "Containers", "complaints_in", "sweep"]

LABEL = "nx-dte.test"
"""Its value is the process id of the tests."""
OURS = "org.opencontainers.image.authors=The nx-dte authors"
START_S = 60.0
STOP_S = 60.0
GITLAB_SHELL = (
    "if [ -x /usr/local/bin/bash ]; then exec /usr/local/bin/bash; "
    "elif [ -x /usr/bin/bash ]; then exec /usr/bin/bash; "
    "elif [ -x /bin/bash ]; then exec /bin/bash; else exec sh; fi"
)
"""What the runner starts in a job's container, to feed it the script."""
_COMPLAINT = re.compile(
    r'^\W*(?:npm )?(?:warn(?:ing)?|err(?:or)?|fatal|critical|panic)\b[^.\n]|"level": "(?:warning|error|critical)"|^Traceback '
    r"|\[(?:WARN|ERROR|FATAL|emerg|alert|crit|error|warn)\w*\]|^tini: |UnhandledPromise|\bDeprecationWarning\b",
    re.IGNORECASE,
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")


def complaints_in(log: str, expected: Sequence[re.Pattern[str]] = ()) -> list[str]:
    """The lines of a log that warn or complain, and that nobody expects."""
    return [
        line
        for line in log.splitlines()
        if _COMPLAINT.search(line) and not any(pattern.search(line) for pattern in expected)
    ]


@dataclass(slots=True, kw_only=True)
class Container:
    """One container, running or ended."""

    name: str
    expected: list[re.Pattern[str]] = field(default_factory=list)

    @property
    def log(self) -> str:
        """Everything it has printed on both streams, without colours."""
        done = subprocess.run(
            [client(), "logs", self.name],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=START_S,
            check=False,
        )
        return _COLOUR.sub("", done.stdout)

    @property
    def state(self) -> dict[str, Any]:
        """What the engine knows of it."""
        return dict(json.loads(docker("inspect", self.name, "--format", "{{json .State}}")))

    def run(self, *command: str, user: str | None = None, timeout_s: float = START_S) -> str:
        """What a command prints in it.

        Raises:
            DockerError: it failed.
        """
        as_user = [] if user is None else ["--user", user]
        return docker("exec", *as_user, self.name, *command, timeout_s=timeout_s)

    def wait(self, timeout_s: float) -> int:
        """Its exit code, once it has ended."""
        self.wait_until(lambda: self.state["Status"] == "exited", timeout_s, "it ends")
        return int(self.state["ExitCode"])

    def wait_for(self, text: str, timeout_s: float = START_S) -> None:
        """Wait until its log has a text."""
        self.wait_until(lambda: text in self.log, timeout_s, f"it prints {text!r}")

    def wait_until(self, condition: Any, timeout_s: float, what: str) -> None:
        """Wait until something holds; past the deadline the test fails and shows the log."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.name}: not within {timeout_s:g} s: {what}. Its log:\n{self.log}")
            time.sleep(0.2)

    def stop(self, grace_s: int = 30) -> tuple[int, float]:
        """`docker stop`; the exit code, and the seconds it took."""
        began = time.monotonic()
        docker("stop", "--time", str(grace_s), self.name, timeout_s=grace_s + STOP_S)
        return int(self.state["ExitCode"]), time.monotonic() - began

    def url(self, port: int) -> str:
        """Where a published port is reached from here."""
        address = docker("port", self.name, f"{port}/tcp").splitlines()[0]
        return f"http://{address}"

    def expect(self, pattern: str) -> None:
        """A complaint that belongs to the test."""
        self.expected.append(re.compile(pattern))

    def complaints(self) -> list[str]:
        """The lines of its log that nobody expects."""
        return complaints_in(self.log, self.expected)


@dataclass(slots=True, kw_only=True)
class Containers:
    """Starts what a test needs and remembers it."""

    containers: list[Container] = field(default_factory=list)
    _networks: list[str] = field(default_factory=list)
    _volumes: list[str] = field(default_factory=list)
    _feeding: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _prefix: str = field(default_factory=lambda: f"nx-dte-test-{secrets.token_hex(4)}")
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def network(self) -> str:
        """A network of its own, in which containers know each other by name."""
        name = f"{self._prefix}-{next(self._numbers)}"
        docker("network", "create", "--label", f"{LABEL}={os.getpid()}", name)
        self._networks.append(name)
        return name

    def volume(self) -> str:
        """An empty volume."""
        name = f"{self._prefix}-{next(self._numbers)}"
        docker("volume", "create", "--label", f"{LABEL}={os.getpid()}", name)
        self._volumes.append(name)
        return name

    def create(
        self,
        image: str,
        *command: str,
        options: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        network: str | None = None,
        alias: str | None = None,
        mounts: Mapping[Path | str, str] | None = None,
    ) -> Container:
        """A container that has not started; `mounts` maps folders or volumes to where they are in it."""
        name = f"{self._prefix}-{next(self._numbers)}"
        arguments = ["create", "--pull", "never", "--name", name, "--label", f"{LABEL}={os.getpid()}"]
        arguments += ["--network", network or "none"]
        arguments += [] if alias is None else ["--network-alias", alias]
        arguments += [part for key, value in (env or {}).items() for part in ("--env", f"{key}={value}")]
        arguments += [
            part for source, target in (mounts or {}).items() for part in ("-v", f"{source}:{target}")
        ]
        docker(*arguments, *options, image, *command)
        container = Container(name=name)
        self.containers.append(container)
        return container

    def start(self, image: str, *command: str, **how: Any) -> Container:
        """A container that runs; `how` is as for `create`."""
        container = self.create(image, *command, **how)
        docker("start", container.name)
        return container

    def feed(self, image: str, script: Sequence[str], **how: Any) -> Container:
        """A container whose shell is fed a script, as GitLab's runner does it; `how` is as for `create`."""
        lines = [
            "set -eo pipefail",
            *(part for line in script for part in (f"echo {shlex.quote(f'$ {line}')}", line)),
        ]
        options = [*how.pop("options", ()), "--interactive"]
        container = self.create(image, "sh", "-c", GITLAB_SHELL, options=options, **how)
        with tempfile.TemporaryFile() as fed:
            fed.write("\n".join([*lines, ""]).encode())
            fed.seek(0)
            feeding = subprocess.Popen(
                [client(), "start", "--attach", "--interactive", container.name],
                stdin=fed,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        self._feeding.append(feeding)
        return container

    def output(self, image: str, *command: str, **how: Any) -> str:
        """What a container prints to its end, which must be good."""
        container = self.start(image, *command, **how)
        code = container.wait(START_S * 2)
        assert code == 0, f"{command} ended with {code}:\n{container.log}"
        return container.log.strip()

    def complaints(self) -> dict[str, list[str]]:
        """By container: the lines of logs that nobody expects."""
        found = {container.name: container.complaints() for container in self.containers}
        return {name: lines for name, lines in found.items() if lines}

    def clear(self) -> None:
        """Remove all of it."""
        for container in self.containers:
            with contextlib.suppress(DockerError):
                docker("rm", "--force", "--volumes", container.name)
        for network in self._networks:
            with contextlib.suppress(DockerError):
                docker("network", "rm", network)
        for volume in self._volumes:
            with contextlib.suppress(DockerError):
                docker("volume", "rm", "--force", volume)
        for feeding in self._feeding:  # its container is gone, so it ends
            with contextlib.suppress(subprocess.TimeoutExpired):
                feeding.wait(STOP_S)
            feeding.kill()
            feeding.wait()


def sweep() -> None:
    """Remove what tests have left whose process was killed, and images of ours that newer ones have replaced."""
    with contextlib.suppress(DockerError):  # another process of the tests may be at it
        docker("image", "prune", "--force", "--filter", f"label={OURS}", timeout_s=120)
    shown = f'{{{{.ID}}}} {{{{.Label "{LABEL}"}}}}'
    for kind, removing in (
        (("ps", "--all"), ("rm", "--force", "--volumes")),
        (("network", "ls"), ("network", "rm")),
        (("volume", "ls"), ("volume", "rm", "--force")),
    ):
        fields = shown.replace(".ID", ".Name") if kind[0] == "volume" else shown
        for line in docker(*kind, "--filter", f"label={LABEL}", "--format", fields).splitlines():
            name, pid = line.split()
            if not Path(f"/proc/{pid}").exists():
                with contextlib.suppress(DockerError):
                    docker(*removing, name)

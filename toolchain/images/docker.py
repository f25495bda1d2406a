"""The container engine's command line, with a deadline for each call.

Only the standard library is used, so any Python from 3.11 on will do. `DOCKER` may name another client.
"""

import os
import shlex
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

__all__ = ["DockerError", "answers", "client", "docker", "image_size", "label_of", "run_step"]

QUICK_S = 60.0


class DockerError(Exception):
    """A call of the engine's client failed, or took too long; the message has what it printed."""


def client() -> str:
    """The program that is called."""
    return os.environ.get("DOCKER", "docker")


def docker(*arguments: str, timeout_s: float = QUICK_S) -> str:
    """What a call of the client prints.

    Raises:
        DockerError: it failed, or did not end in time.
    """
    return run_step([client(), *arguments], timeout_s=timeout_s).strip()


def run_step(
    command: Sequence[str], *, timeout_s: float, cwd: Path | None = None, log: Path | None = None
) -> str:
    """Run a command to its end; returns its standard output. With `log`, both its streams are kept there.

    Raises:
        DockerError: it failed, cannot be run or did not end in time.
    """
    shown = shlex.join(command[:4]) + (" …" if len(command) > 4 else "")  # noqa: PLR2004  # enough to know it by
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=timeout_s, check=False, cwd=cwd
        )
    except FileNotFoundError:
        raise DockerError(f"{command[0]} is not here; install it and try again") from None
    except subprocess.TimeoutExpired:
        raise DockerError(f"`{shown}` did not end within {timeout_s:g} s") from None
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text(f"$ {shlex.join(command)}\n{done.stdout}{done.stderr}", encoding="utf-8")
    if done.returncode != 0:
        said = (done.stdout + done.stderr).strip()[-6000:]
        raise DockerError(f"`{shown}` ended with {done.returncode}:\n{said}")
    return done.stdout


def answers(within_s: float = 0.0) -> bool:
    """Whether an engine answers, asked again and again for so long."""
    deadline = time.monotonic() + within_s
    while True:
        try:
            docker("version", "--format", "{{.Server.Version}}", timeout_s=20)
        except DockerError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(0.2)
        else:
            return True


def label_of(image: str, label: str) -> str | None:
    """A label of an image that is here; None when the image is not here, empty when it has no such label."""
    try:
        return docker("image", "inspect", image, "--format", f'{{{{index .Config.Labels "{label}"}}}}')
    except DockerError:
        return None


def image_size(image: str) -> int:
    """The bytes of an image's layers, unpacked."""
    return int(docker("image", "inspect", image, "--format", "{{.Size}}"))

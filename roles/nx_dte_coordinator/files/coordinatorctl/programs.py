"""Running programs: the engine's client, PostgreSQL's clients, systemd's."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

from config import Failure

if TYPE_CHECKING:
    from pathlib import Path

    from config import Config

LONGEST_S = 6 * 3600
SHOWN_LINES = 8


def run(
    command: list[str], what: str, *, environment: dict[str, str] | None = None, data: bytes | None = None
) -> str:
    """Run a program to its end; its output.

    Raises:
        Failure: it failed; with its own last words.
    """
    try:
        done = subprocess.run(
            command,
            env={**os.environ, **(environment or {})},
            input=data,
            stdin=subprocess.DEVNULL if data is None else None,
            capture_output=True,
            check=False,
            timeout=LONGEST_S,
        )
    except FileNotFoundError as error:
        raise Failure(f"{what}: {command[0]} is not installed here") from error
    except subprocess.TimeoutExpired as error:
        raise Failure(f"{what}: it did not end within {LONGEST_S} s") from error
    if done.returncode != 0:
        words = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
        raise Failure(f"{what}: " + ("\n".join(words[-SHOWN_LINES:]) or f"it ended with {done.returncode}"))
    return done.stdout.decode("utf-8", "replace")


def in_container(config: Config, image: str, volumes: dict[Path, str], command: list[str], what: str) -> str:
    """Run a command of the coordinator's image, apart from the network and from the running coordinator.

    Raises:
        Failure: it failed; with its own last words.
    """
    mounts = [word for path, target in volumes.items() for word in ("--volume", f"{path}:{target}")]
    return run(
        [
            "docker",
            "run",
            "--rm",
            "--pull=never",
            "--log-driver=none",
            "--network=none",
            "--read-only",
            "--cap-drop=ALL",
            "--security-opt=no-new-privileges",
            "--memory=1g",
            "--pids-limit=128",
            f"--user={config.uid}:{config.uid}",
            *mounts,
            f"--volume={config.mounted}:/etc/nx-dte:ro",
            image,
            *command,
        ],
        what,
    )

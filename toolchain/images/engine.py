"""Finds a container engine, or installs Debian's and starts it; whoever started one stops that one, and no other.

Only root on Debian can install and start one. Everywhere else an engine must answer already.
"""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from toolchain.debian import has_apt
from toolchain.images.docker import DockerError, answers, client

__all__ = ["NoEngineError", "running_engine"]

PACKAGES = ("docker.io", "docker-cli", "iptables", "mmdebstrap")
"""Of these, what the suite has: Debian 12 has no docker-cli, its docker.io brings the client."""
PID_FILES = {
    "dockerd": Path("/var/run/docker.pid"),
    "containerd": Path("/var/run/docker/containerd/containerd.pid"),
}
INSTALL_S = 300.0
START_S = 60.0
STOP_S = 30.0


class NoEngineError(Exception):
    """No engine answers, and it is nobody's fault that none can be started here; the message says what to do."""


@contextlib.contextmanager
def running_engine(folder: Path) -> Iterator[bool]:
    """An engine that answers, for as long as the block runs; gives whether it was started for it.

    Its log is `dockerd.log` in `folder`.

    Raises:
        NoEngineError: there is none, and none can be had.
        DockerError: one should have started, and did not.
    """
    if answers():
        yield False
        return
    engine = _start(folder)
    try:
        yield True
    finally:
        if engine is not None:
            _stop(engine)


def _start(folder: Path) -> subprocess.Popen[bytes] | None:
    """The engine that now runs because of us; None where a service manager started it with the package: it stays."""
    if "DOCKER_HOST" in os.environ:
        # Somebody says that there is one: tests must not pass over it as over a machine that has none.
        raise DockerError(f"DOCKER_HOST is {os.environ['DOCKER_HOST']}, where no engine answers; start it")
    if os.getuid() != 0 or not has_apt():
        raise NoEngineError(
            f"`{client()} version` finds no engine that answers, and only root on Debian can install and start one here; "
            "start one and try again"
        )
    missing = [program for program in ("dockerd", "iptables", "mmdebstrap") if shutil.which(program) is None]
    if missing:
        print(f"no {', '.join(missing)} here: installing Debian's", flush=True)
        _install()
    if answers():
        return None
    for name, file in PID_FILES.items():
        _forget_dead(name, file)
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "dockerd.log"
    with log.open("wb") as output:
        # In a session of its own: an interrupt at the terminal is for us, and we stop it in order.
        engine = subprocess.Popen(
            ["dockerd"], stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
        )
    began = time.monotonic()
    while engine.poll() is None and time.monotonic() < began + START_S:
        if answers():
            print(f"started an engine in {time.monotonic() - began:.1f} s", flush=True)
            return engine
        time.sleep(0.2)
    _stop(engine)
    last = "\n".join(log.read_text("utf-8", "replace").splitlines()[-15:])
    raise DockerError(
        f"dockerd did not answer within {START_S:g} s; the end of its log {log}:\n{last}\n"
        "Start an engine yourself, or set DOCKER_HOST"
    )


def _forget_dead(name: str, file: Path) -> None:
    """Remove what an engine that was killed has left: it would hold another from starting once its id is given anew."""
    with contextlib.suppress(OSError, ValueError):
        process = Path("/proc", str(int(file.read_text("utf-8"))), "comm")
        if not process.exists() or process.read_text("utf-8").strip() != name:
            file.unlink()


def _install() -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        subprocess.run(["apt-get", "-qq", "update"], check=True, timeout=INSTALL_S, env=environment)
        known = subprocess.run(
            ["apt-cache", "pkgnames"], check=True, capture_output=True, text=True, timeout=60
        ).stdout.split()
        wanted = sorted(set(PACKAGES) & set(known))
        command = ["apt-get", "-qq", "install", "--yes", "--no-install-recommends", *wanted]
        subprocess.run(command, check=True, timeout=INSTALL_S, env=environment, stdout=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError) as error:
        raise DockerError(f"Debian's docker.io cannot be installed here: {error}") from error


def _stop(engine: subprocess.Popen[bytes]) -> None:
    if engine.poll() is not None:
        return
    engine.send_signal(signal.SIGTERM)  # it ends its containers and its containerd
    try:
        engine.wait(STOP_S)
        print("stopped the engine that was started for this", flush=True)
    except subprocess.TimeoutExpired:
        print(f"the engine did not stop within {STOP_S:g} s of SIGTERM; killing it", flush=True)
        engine.kill()
        engine.wait(STOP_S)

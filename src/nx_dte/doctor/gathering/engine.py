"""The container engine of a host."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nx_dte.doctor.facts import EngineFact
from nx_dte.doctor.versions import dotted, version_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nx_dte.doctor.gathering.programs import Programs

__all__ = ["engine_fact"]

DEFAULT_ADDRESS = "unix:///var/run/docker.sock"
_UNIX = "unix://"


def engine_fact(environ: Mapping[str, str], programs: Programs) -> EngineFact:
    """Ask the engine for its version, through the docker program."""
    address = environ.get("DOCKER_HOST", "").strip() or DEFAULT_ADDRESS
    has_socket = _has_socket(Path(address.removeprefix(_UNIX))) if address.startswith(_UNIX) else None
    client = programs.where("docker")
    if client is None or has_socket is False:
        return EngineFact(address=address, has_socket=has_socket)
    ran = programs.run(client, "version", "--format", "{{.Server.Version}}")
    version = version_of(ran.output) if ran.is_success else None
    return EngineFact(
        address=address,
        has_socket=has_socket,
        version=None if version is None else dotted(version),
        problem=None if version is not None else ran.complaint or f"exit code {ran.code}",
    )


def _has_socket(path: Path) -> bool:
    try:
        return path.is_socket()
    except OSError:
        return False

"""Provides the official images that ours are made from: those that are here, else pulled, else stand-ins.

A base with a digest is that image and no other, so it gets no stand-in unless one is asked for. A stand-in has the official name, so that the same Dockerfiles build on it, and a label that says what it is. It is made
where no registry of images can be reached, and made anew when its recipe changes.
"""

import enum
from pathlib import Path

from toolchain.images.docker import DockerError, docker, label_of
from toolchain.images.stand_ins import LABEL, can_make, make, recipe
from toolchain.images.versions import Base, Versions

__all__ = ["Source", "provide"]

PULL_S = 600.0


class Source(enum.StrEnum):
    """Where bases may come from."""

    AUTO = "auto"
    PULL = "pull"
    STAND_IN = "stand-in"


def provide(root: Path, versions: Versions, key: str, source: Source = Source.AUTO) -> str:
    """Make sure that a base is here; returns what a Dockerfile names in FROM.

    Raises:
        DockerError: it can neither be pulled nor be made, or has a digest and cannot be pulled.
    """
    base = versions.bases[key]
    if base.digest is not None and source is not Source.STAND_IN:
        return _provide_exactly(base, source)
    mark = label_of(base.name, LABEL)
    if source is not Source.PULL and mark is not None and mark == recipe(root, versions, key):
        return base.name
    is_official = mark == ""
    if source is Source.AUTO and is_official:
        return base.name
    if source is not Source.STAND_IN:
        failure = _pull(base)
        if failure is None:
            return base.name
        if source is Source.PULL:
            raise failure
        print(f"{base.name} cannot be pulled: making a stand-in of that name", flush=True)
    why_not = can_make()
    if why_not is not None:
        raise DockerError(f"there is no {base.name} and no stand-in can be made here: {why_not}")
    make(root, versions, key)
    return base.name


def _provide_exactly(base: Base, source: Source) -> str:
    if source is Source.AUTO and label_of(base.reference, LABEL) is not None:
        return base.reference
    failure = _pull(base)
    if failure is not None:
        raise DockerError(
            f"{base.reference} is not here and cannot be pulled; correct or remove its digest in images/versions.toml, or "
            f"build on a stand-in with BASES=stand-in\n{failure}"
        )
    return base.reference


def _pull(base: Base) -> DockerError | None:
    try:
        docker("pull", "--quiet", base.reference, timeout_s=PULL_S)
    except DockerError as error:
        return error
    return None

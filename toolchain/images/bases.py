"""Provides the official images that ours are made from: those that are here, else pulled, else stand-ins.

A stand-in has the official name, so that the same Dockerfiles build on it, and a label that says what it is. It is made
where no registry of images can be reached, and made anew when its recipe changes.
"""

import enum
from pathlib import Path

from toolchain.images.docker import DockerError, docker, label_of
from toolchain.images.stand_ins import LABEL, can_make, make, recipe
from toolchain.images.versions import Base, Versions

__all__ = ["Source", "base_reference", "is_stand_in", "provide"]

PULL_S = 600.0


class Source(enum.StrEnum):
    """Where bases may come from."""

    AUTO = "auto"
    PULL = "pull"
    STAND_IN = "stand-in"


def provide(root: Path, versions: Versions, key: str, source: Source = Source.AUTO) -> str:
    """Make sure that a base is here; returns what a Dockerfile names in FROM.

    Raises:
        DockerError: it can neither be pulled nor be made.
    """
    base = versions.bases[key]
    mark = label_of(base.name, LABEL)
    if source is not Source.PULL and mark is not None and mark == recipe(root, versions, key):
        return base.name
    is_official = mark == ""
    if source is Source.AUTO and is_official and base.digest is None:
        return base.name
    if source is not Source.STAND_IN:
        failure = _pull(base)
        if failure is None:
            return base.reference
        if source is Source.PULL:
            raise failure
        print(f"{base.reference} cannot be pulled: making a stand-in of that name", flush=True)
    why_not = can_make()
    if why_not is not None:
        raise DockerError(f"there is no {base.reference} and no stand-in can be made here: {why_not}")
    make(root, versions, key)
    return base.name


def _pull(base: Base) -> DockerError | None:
    try:
        docker("pull", "--quiet", base.reference, timeout_s=PULL_S)
    except DockerError as error:
        return error
    return None


def is_stand_in(versions: Versions, key: str) -> bool:
    """Whether what is here under a base's name is a stand-in."""
    return bool(label_of(versions.bases[key].name, LABEL))


def base_reference(versions: Versions, key: str) -> str:
    """What FROM names, for a base that is here."""
    base = versions.bases[key]
    return base.name if is_stand_in(versions, key) else base.reference

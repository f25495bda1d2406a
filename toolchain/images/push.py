"""Publishes images, and writes down what was published by digest."""

import json
from collections.abc import Sequence
from pathlib import Path

from toolchain.images.build import Image, find_wheel
from toolchain.images.docker import DockerError, docker, label_of
from toolchain.images.stand_ins import LABEL

__all__ = ["push"]

PUSH_S = 900.0


def push(
    root: Path, images: Sequence[Image], registry: str, digests: Path, *, allow_stand_ins: bool = False
) -> dict[str, str]:
    """Push images under all their tags; returns each one's reference by digest, which the file `digests` keeps too.

    Raises:
        DockerError: an image of this version was not built, stands on a stand-in, or a push failed.
    """
    version = find_wheel(root).version
    for image in images:
        _check(image.tags(version)[0], version, allow_stand_ins=allow_stand_ins)
    published = {image.key: _push_one(image, version, registry.rstrip("/")) for image in images}
    digests.parent.mkdir(parents=True, exist_ok=True)
    lines = [f'  {key}: "{reference}"' for key, reference in published.items()]
    head = [
        f"# What `make push` published of nx-dte {version}: variables for an inventory.",
        "nx_dte_images:",
    ]
    digests.write_text("\n".join([*head, *lines, ""]), encoding="utf-8")
    return published


def _check(name: str, version: str, *, allow_stand_ins: bool) -> None:
    if label_of(name, "org.opencontainers.image.version") != version:
        raise DockerError(f"{name} was not built here; run `make images`")
    if label_of(name, LABEL) and not allow_stand_ins:
        raise DockerError(
            f"{name} stands on a stand-in for an official image; build it where that can be pulled, with "
            "`make images BASES=pull`, or publish it as it is with `make push ALLOW_STAND_INS=1 …`"
        )


def _push_one(image: Image, version: str, registry: str) -> str:
    local = image.tags(version)
    remote = f"{registry}/{image.repository}"
    for tag in local:
        name = f"{registry}/{tag}"
        docker("tag", local[0], name)
        docker("push", "--quiet", name, timeout_s=PUSH_S)
        print(f"pushed {name}", flush=True)
    known = json.loads(docker("image", "inspect", local[0], "--format", "{{json .RepoDigests}}"))
    digest = next((reference for reference in known if reference.startswith(f"{remote}@")), None)
    if digest is None:
        raise DockerError(f"{remote} has taken {local[0]} but told no digest; push it again")
    return str(digest)

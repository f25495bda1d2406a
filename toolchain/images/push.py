"""Publishes images, and writes down what was published by digest."""

import json
from collections.abc import Sequence
from pathlib import Path

from toolchain.images.build import Image, find_wheel
from toolchain.images.docker import DockerError, docker, label_of

__all__ = ["push"]

PUSH_S = 900.0


def push(root: Path, images: Sequence[Image], registry: str, digests: Path) -> dict[str, str]:
    """Push images under all their tags; returns each one's reference by digest, which the file `digests` keeps too.

    Raises:
        DockerError: an image of this version was not built, or a push failed.
    """
    version = find_wheel(root).version
    published = {image.key: _push_one(image, version, registry.rstrip("/")) for image in images}
    digests.parent.mkdir(parents=True, exist_ok=True)
    lines = [f'  {key}: "{reference}"' for key, reference in published.items()]
    head = [
        f"# What `make push` published of nx-dte {version}: variables for an inventory.",
        "nx_dte_images:",
    ]
    digests.write_text("\n".join([*head, *lines, ""]), encoding="utf-8")
    return published


def _push_one(image: Image, version: str, registry: str) -> str:
    local = image.tags(version)
    if label_of(local[0], "org.opencontainers.image.version") != version:
        raise DockerError(f"{local[0]} was not built here; run `make images`")
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

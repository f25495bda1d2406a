"""Builds the images: the same Dockerfiles everywhere, on the bases that are here."""

import hashlib
import re
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from toolchain.images.bases import Source, provide
from toolchain.images.docker import DockerError, client, image_size, label_of, run_step
from toolchain.images.stand_ins import LABEL
from toolchain.images.versions import Versions

__all__ = ["Image", "Wheel", "build", "coordinator_image", "find_wheel", "runner_image"]

BUILD_S = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Wheel:
    """The packed project that both images install."""

    file: Path
    version: str

    @property
    def sha256(self) -> str:
        """Its digest, which the image's installer checks."""
        return hashlib.sha256(self.file.read_bytes()).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One image that can be built."""

    key: str
    """As in make's targets and in the file of digests: runner-node18, coordinator."""
    repository: str
    bases: dict[str, str]
    """Arguments of the Dockerfile, each with the key of a base in versions.toml; BASE is what the image stands on."""
    suffix: str
    """What the tag says beside nx-dte's version."""
    dockerfile: str
    arguments: dict[str, str]

    def tags(self, version: str) -> tuple[str, ...]:
        """Its names: the one that never moves, then the one that follows the newest build."""
        follower = self.suffix.removeprefix("-") or "latest"
        return f"{self.repository}:{version}{self.suffix}", f"{self.repository}:{follower}"


def find_wheel(root: Path) -> Wheel:
    """The one wheel under dist.

    Raises:
        DockerError: there is none, or more than one.
    """
    wheels = sorted((root / "dist").glob("nx_dte-*.whl"))
    if len(wheels) != 1:
        raise DockerError(f"dist has {len(wheels)} wheels of nx-dte, not one; run `make wheel`")
    return Wheel(file=wheels[0], version=wheels[0].name.split("-")[1])


def runner_image(versions: Versions, major: str) -> Image:
    """The runner image with this major of Node.

    Raises:
        DockerError: there is none.
    """
    if major not in versions.node:
        raise DockerError(
            f"there is no runner image with Node {major}; NODE is one of {', '.join(versions.node)}"
        )
    tools = versions.tools
    return Image(
        key=f"runner-node{major}",
        repository=versions.runner,
        bases={"BASE": f"node{major}", "DEBIAN": "debian"},
        suffix=f"-node{major}",
        dockerfile="images/runner/Dockerfile",
        arguments={
            "NODE_VERSION": versions.node[major],
            "PYTHON_VERSION": tools["python_runner"],
            "YARN_VERSION": tools["yarn"],
            "PNPM_VERSION": tools["pnpm"],
            "TINI_VERSION": tools["tini"],
        },
    )


def coordinator_image(versions: Versions) -> Image:
    """The coordinator's image."""
    return Image(
        key="coordinator",
        repository=versions.coordinator,
        bases={"BASE": "python"},
        suffix="",
        dockerfile="images/coordinator/Dockerfile",
        arguments={
            "PYTHON_VERSION": versions.tools["python_coordinator"],
            "TINI_VERSION": versions.tools["tini"],
        },
    )


def build(
    root: Path, versions: Versions, image: Image, *, certificates: str = "", source: Source = Source.AUTO
) -> str:
    """Build an image and print its size; returns its name.

    Raises:
        DockerError: a step failed; the message has the end of what it printed.
    """
    wheel = find_wheel(root)
    bases = {name: provide(root, versions, key, source) for name, key in image.bases.items()}
    tags = image.tags(wheel.version)
    arguments = {
        **bases,
        "WHEEL_SHA256": wheel.sha256,
        "NX_DTE_VERSION": wheel.version,
        "REVISION": _revision(root),
        "NX_DTE_EXTRA_CA": certificates,
        **image.arguments,
    }
    command = [client(), "build", "--force-rm", "--file", image.dockerfile]
    command += [part for tag in tags for part in ("--tag", tag)]
    command += [part for name, value in arguments.items() for part in ("--build-arg", f"{name}={value}")]
    # Of several bases the finished image shows one only: whatever came from a stand-in, it has the label.
    if marks := sorted({mark for base in bases.values() if (mark := label_of(base, LABEL))}):
        command += ["--label", f"{LABEL}={' '.join(marks)}"]
    began = time.monotonic()
    run_step([*command, "."], timeout_s=BUILD_S, cwd=root, log=root / f".cache/images/{image.key}.log")
    size, base_size = image_size(tags[0]), image_size(bases["BASE"])
    print(
        f"{tags[0]}: {_megabytes(size)}, {_megabytes(size - base_size)} more than {bases['BASE']}, "
        f"in {time.monotonic() - began:.1f} s",
        flush=True,
    )
    return tags[0]


def _revision(root: Path) -> str:
    """The commit it is built from; with a mark where the checkout differs from it."""
    asked = subprocess.run(
        ["git", "-c", "safe.directory=*", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    ).stdout.strip()
    return asked if re.fullmatch(r"[0-9a-f]{40}(-dirty)?", asked) else "unknown"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.0f} MB"

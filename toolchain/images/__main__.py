"""Builds the images, and runs commands beside a container engine.

usage: python -m toolchain.images build [IMAGE ...]     runner, coordinator; all that there are without a name
       python -m toolchain.images push --registry NAME  publish them, and write their digests to dist/images.yaml
       python -m toolchain.images sbom                  list what is in them, under dist/sbom
       python -m toolchain.images run -- COMMAND …      an engine answers while the command runs, if one can be had
"""

import argparse
import subprocess
import sys
from pathlib import Path

from toolchain.images.bases import Source
from toolchain.images.build import Image, build, coordinator_image, find_wheel, runner_image
from toolchain.images.certificates import extra_certificates
from toolchain.images.docker import DockerError
from toolchain.images.engine import NoEngineError, running_engine
from toolchain.images.push import push
from toolchain.images.sbom import write_sbom
from toolchain.images.versions import Versions, read_versions

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache/images"
EXIT_UNAVAILABLE = 69  # as sysexits.h has it


def main(arguments: list[str]) -> int:
    """Do what the command line says; returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        with running_engine(CACHE):
            return int(options.run(options))
    except NoEngineError as error:
        print(f"images: {error}", file=sys.stderr)
        return _run(options) if options.run is _run else EXIT_UNAVAILABLE
    except DockerError as error:
        print(f"images: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m toolchain.images", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    building = commands.add_parser("build", help="build images")
    building.add_argument("--bases", type=Source, default=Source.AUTO, choices=list(Source))
    building.add_argument("--ca-file", type=Path, help="PEM certificates that package registries need here")
    building.set_defaults(run=_build)
    pushing = commands.add_parser("push", help="publish images")
    pushing.add_argument("--registry", required=True, help="host, port and path before the images' names")
    pushing.add_argument("--digests", type=Path, default=ROOT / "dist/images.yaml", help="file to write")
    pushing.add_argument("--allow-stand-ins", action="store_true", help="images on stand-ins, too")
    pushing.set_defaults(run=_push)
    listing = commands.add_parser("sbom", help="list what is in images")
    listing.add_argument("--folder", type=Path, default=ROOT / "dist/sbom", help="where to")
    listing.set_defaults(run=_sbom)
    for command in (building, pushing, listing):
        command.add_argument("images", nargs="*", choices=["runner", "coordinator", []], metavar="IMAGE")
        command.add_argument("--node", help="Node's major; without it all of them")
    running = commands.add_parser(
        "run", help="run a command while an engine answers; where none can be had, without"
    )
    running.add_argument("command", nargs="+")
    running.set_defaults(run=_run)
    return parser


def _build(options: argparse.Namespace) -> int:
    versions = read_versions(ROOT)
    certificates = extra_certificates(options.ca_file)
    for image in _chosen(versions, options.images, options.node):
        build(ROOT, versions, image, certificates=certificates, source=options.bases)
    return 0


def _push(options: argparse.Namespace) -> int:
    images = _chosen(read_versions(ROOT), options.images, options.node)
    push(ROOT, images, options.registry, options.digests, allow_stand_ins=options.allow_stand_ins)
    print(f"digests: {options.digests}")
    return 0


def _sbom(options: argparse.Namespace) -> int:
    version = find_wheel(ROOT).version
    for image in _chosen(read_versions(ROOT), options.images, options.node):
        print(write_sbom(ROOT, image.tags(version)[0], options.folder / f"{image.key}.spdx.json"), flush=True)
    return 0


def _chosen(versions: Versions, names: list[str], node: str | None) -> list[Image]:
    majors = list(versions.node) if node is None else [node]
    images = [runner_image(versions, major) for major in majors if not names or "runner" in names]
    return images + ([coordinator_image(versions)] if not names or "coordinator" in names else [])


def _run(options: argparse.Namespace) -> int:
    return subprocess.run(options.command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

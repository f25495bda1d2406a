"""Makes what hosts without a network are provisioned from: packages, images as files, and certificates.

usage: bundle.py FOLDER     images.yaml in it says what the images are called, and their checksums
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from toolchain.images.docker import client, docker, run_step
from toolchain.images.versions import read_versions

ROOT = Path(__file__).resolve().parents[2]
HELPER = "nx-dte-test/helper:18.5.0"
"""Nothing is in it: the stand-in for gitlab-runner has no use for a helper image."""
NAME, ADDRESS = "dte.alternative.test", "10.91.3.30"
PACKAGES = {
    # git is what the runner's package asks for.
    "engine": ("nx-dte-test/host:trixie", "ca-certificates docker.io docker-cli iptables git"),
    "caddy": ("nx-dte-test/host:trixie-database", "caddy"),
}
FETCH = """
set -eu
mkdir /bundle
apt-get update >&2
apt-get install --yes --no-install-recommends --download-only -o Dir::Cache::archives=/bundle -o APT::Sandbox::User=root {packages} >&2
cd /bundle
rm -rf lock partial
exec tar -c .
"""
FETCH_S = 300.0
SAVE_S = 300.0
OPENSSL_S = 30.0
CHUNK = 1 << 20


def main(arguments: list[str]) -> int:
    """Do it; the exit code."""
    if len(arguments) != 1:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for name, (image, packages) in PACKAGES.items():
        _fetch(folder / name, image, packages)
    versions = read_versions(ROOT)
    _helper()
    names = {
        "runner": f"{versions.runner}:node{versions.default_node}",
        "coordinator": f"{versions.coordinator}:latest",
        "helper": HELPER,
    }
    images = {key: _save(folder / f"{key}.tar", name) for key, name in names.items()}
    _certificates(folder)
    # JSON is YAML.
    (folder / "images.yaml").write_text(json.dumps(images, indent=2) + "\n", encoding="utf-8")
    return 0


def _is_fresh(stamp: Path, wanted: str) -> bool:
    return stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted


def _fetch(folder: Path, image: str, packages: str) -> None:
    """The packages that a host of this image lacks, again only when the image is another."""
    stamp, wanted = folder / ".of", f"{docker('image', 'inspect', '--format', '{{.Id}}', image)} {packages}\n"
    if _is_fresh(stamp, wanted):
        return
    run_step(["rm", "-rf", str(folder)], timeout_s=OPENSSL_S)
    folder.mkdir()
    script = FETCH.format(packages=packages)
    pack = '"$0" run --rm --entrypoint sh "$1" -c "$2" | tar -x -C "$3"'
    run_step(["bash", "-o", "pipefail", "-c", pack, client(), image, script, str(folder)], timeout_s=FETCH_S)
    stamp.write_text(wanted, encoding="utf-8")


def _helper() -> None:
    run_step(["bash", "-c", f"tar -c -T /dev/null | {client()} import - {HELPER}"], timeout_s=SAVE_S)


def _save(file: Path, name: str) -> dict[str, str]:
    """The image as a file, again only when it is another; what the inventory says of it."""
    stamp, wanted = file.with_suffix(".of"), docker("image", "inspect", "--format", "{{.Id}}", name)
    if not _is_fresh(stamp, wanted):
        docker("save", "--output", str(file), name, timeout_s=SAVE_S)
        stamp.write_text(wanted, encoding="utf-8")
    digest = hashlib.sha256()
    with file.open("rb") as opened:
        while chunk := opened.read(CHUNK):
            digest.update(chunk)
    return {"name": name, "sha256": digest.hexdigest()}


def _certificates(folder: Path) -> None:
    """A certificate authority, and what it signs for the coordinator."""
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-noenc"]
    ca = [
        "-x509",
        "-days",
        "2",
        "-subj",
        "/CN=CA of the alternative",
        "-addext",
        "keyUsage=critical,keyCertSign",
    ]
    _openssl("req", *key, *ca, "-keyout", f"{folder}/ca.key", "-out", f"{folder}/ca.pem")
    names = f"subjectAltName=DNS:{NAME},IP:{ADDRESS}"
    own = [
        "-x509",
        "-days",
        "2",
        "-subj",
        f"/CN={NAME}",
        "-addext",
        names,
        "-addext",
        "basicConstraints=critical,CA:FALSE",
    ]
    signed = ["-CA", f"{folder}/ca.pem", "-CAkey", f"{folder}/ca.key"]
    _openssl("req", *key, *own, *signed, "-keyout", f"{folder}/tls.key", "-out", f"{folder}/tls.pem")


def _openssl(*arguments: str) -> None:
    run_step(["openssl", *arguments], timeout_s=OPENSSL_S)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

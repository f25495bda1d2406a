"""Unpacks the collections of ansible/requirements.yml from the package `ansible`: no Galaxy is asked.

usage: python -m toolchain.collections FOLDER     they lie in FOLDER/ansible_collections afterwards
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WANTED = ROOT / "ansible/requirements.yml"
LOCK = ROOT / "requirements/collections.txt"
TOP = "ansible_collections"
DOWNLOAD_S = 600.0
_NAMED = re.compile(r"^ +- name: (\w+)\.(\w+)\n +version: (\S+)$", re.MULTILINE)


def main(arguments: list[str]) -> int:
    """Do it; the exit code."""
    if len(arguments) != 1:
        print(__doc__, file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    wanted = _NAMED.findall(WANTED.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="nx-dte-collections-") as work:
        command = [
            str(ROOT / ".venv/bin/python"),
            "-m",
            "pip",
            "download",
            "--quiet",
            "--disable-pip-version-check",
        ]
        command += ["--no-deps", "--require-hashes", "--requirement", str(LOCK), "--dest", work]
        subprocess.run(command, check=True, timeout=DOWNLOAD_S)
        [bundle] = Path(work).glob("ansible-*.whl")
        shutil.rmtree(folder, ignore_errors=True)
        with zipfile.ZipFile(bundle) as archive:
            for namespace, name, version in wanted:
                _unpack(archive, f"{TOP}/{namespace}/{name}/", version, folder)
    return 0


def _unpack(archive: zipfile.ZipFile, prefix: str, version: str, folder: Path) -> None:
    members = [name for name in archive.namelist() if name.startswith(prefix)]
    manifest = f"{prefix}MANIFEST.json"
    found = (
        json.loads(archive.read(manifest))["collection_info"]["version"] if manifest in members else "none"
    )
    if found != version:
        message = f"{WANTED.name} wants {prefix} {version}, the bundle of {LOCK.name} has {found}; change one of them"
        raise SystemExit(message)
    archive.extractall(folder, members)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Unpacks Debian's rsync into a folder, without root and without a change to the system: gitlab-ci-local needs one.

usage: python -m toolchain.rsync FOLDER

Does nothing when this machine has rsync already. FOLDER/bin then holds a program that finds the libraries unpacked
beside it.
"""

import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from toolchain.debian import Apt, has_apt, lacks_libraries, library_folders

__all__ = ["provide"]


def provide(unpacked: Path) -> str:
    """Make sure there is an rsync, if that can be done here; says what was done about it."""
    if shutil.which("rsync") is not None or (unpacked / "bin/rsync").is_file():
        return ""
    if not has_apt():
        return "there is no rsync here and no apt to get one: install it, or tests with gitlab-ci-local fail"
    unpacked.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=unpacked.parent, prefix=".unpacking-") as work:
        tree = Path(work) / "tree"
        tree.mkdir()
        tree.chmod(0o755)
        apt = Apt(Path(work))
        apt.unpack(["rsync"], tree)
        if lacks_libraries(tree / "usr/bin/rsync"):
            apt.unpack(apt.libraries_of("rsync"), tree)
        _write_program(tree)
        shutil.rmtree(unpacked, ignore_errors=True)
        tree.rename(unpacked)
    return f"unpacked rsync into {unpacked}"


def _write_program(tree: Path) -> None:
    """The libraries are for rsync alone, so they are named in front of it and not in anybody's environment."""
    folders = ":".join(f'"$home"/{shlex.quote(str(f.relative_to(tree)))}' for f in library_folders(tree))
    program = tree / "bin/rsync"
    program.parent.mkdir(exist_ok=True)
    lines = [
        "#!/bin/sh",
        'home=$(dirname "$(dirname "$(readlink -f "$0")")")',
        f'LD_LIBRARY_PATH={folders} exec "$home/usr/bin/rsync" "$@"',
    ]
    program.write_text("\n".join([*lines, ""]), encoding="utf-8")
    program.chmod(0o755)


if __name__ == "__main__":
    target = Path(sys.argv[1]).resolve()
    try:
        done = provide(target)
        if done:
            print(done)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"rsync cannot be unpacked here ({error}): install it, or tests with gitlab-ci-local fail")

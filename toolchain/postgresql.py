"""Unpacks Debian's PostgreSQL server into a folder, without root and without a change to the system.

usage: python -m toolchain.postgresql FOLDER

Does nothing when this machine has a server already, or is no Debian: the tests then look for one themselves, and say
what they miss.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from toolchain.debian import Apt, has_apt, lacks_libraries, library_folders

__all__ = ["find_programs", "is_complete", "library_folders", "provide"]

SYSTEM = Path("/usr/lib/postgresql")


def find_programs(unpacked: Path) -> Path | None:
    """The folder of `postgres` and `initdb`: the system's newest, else on PATH, else the unpacked one."""
    on_path = shutil.which("postgres")
    folders = [*_newest(SYSTEM), *([Path(on_path).resolve().parent] if on_path else ())]
    folders += _newest(unpacked / "usr/lib/postgresql")
    return next((folder for folder in folders if is_complete(folder)), None)


def is_complete(folder: Path) -> bool:
    """Whether a server can be made and run with what is there."""
    return all((folder / name).is_file() for name in ("postgres", "initdb"))


def _newest(versions: Path) -> list[Path]:
    numbered = [folder for folder in versions.glob("*/bin") if folder.parent.name.isdecimal()]
    return sorted(numbered, key=lambda folder: int(folder.parent.name), reverse=True)


def newest_package(apt: Apt) -> str | None:
    """The name of the newest server package."""
    found = apt.ask("apt-cache", "search", "--names-only", r"^postgresql-[0-9]+$")
    versions = [int(number) for number in re.findall(r"^postgresql-(\d+) ", found, re.MULTILINE)]
    return f"postgresql-{max(versions)}" if versions else None


def provide(unpacked: Path) -> str:
    """Make sure there is a server, if that can be done here; says what was done about it."""
    if find_programs(unpacked) is not None:
        return ""
    if not has_apt():
        return "there is no PostgreSQL here and no apt to get one: tests that need it are skipped"
    unpacked.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=unpacked.parent, prefix=".unpacking-") as folder:
        return _unpack_server(Path(folder), unpacked)


def _unpack_server(work: Path, unpacked: Path) -> str:
    tree = work / "tree"
    tree.mkdir()
    tree.chmod(0o755)
    apt = Apt(work)
    if newest_package(apt) is None:
        apt.refresh()
    server = newest_package(apt)
    if server is None:
        return "there is no PostgreSQL here and apt knows none: tests that need it are skipped"
    apt.unpack([server, server.replace("-", "-client-")], tree)
    if any(lacks_libraries(folder / "postgres") for folder in _newest(tree / "usr/lib/postgresql")):
        apt.unpack(apt.libraries_of(server), tree)
    shutil.rmtree(unpacked, ignore_errors=True)
    tree.rename(unpacked)
    return f"unpacked {server} into {unpacked}"


if __name__ == "__main__":
    target = Path(sys.argv[1]).resolve()
    try:
        done = provide(target)
        if done:
            print(done)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"PostgreSQL cannot be unpacked here ({error}): tests that need it are skipped")

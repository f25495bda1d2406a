"""Unpacks Debian's PostgreSQL server into a folder, without root and without a change to the system.

usage: postgresql.py FOLDER

Does nothing when this machine has a server already, or is no Debian: the tests then look for one themselves, and say
what they miss. Only the standard library is used, so any Python will do.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SYSTEM = Path("/usr/lib/postgresql")
NO_NEED = (
    "libllvm",
    "libz3",
)  # the compiler of long queries, a hundred megabytes; a server without it is complete


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


def library_folders(unpacked: Path) -> list[Path]:
    """Where the libraries that came with an unpacked server lie."""
    found = [library for top in ("lib", "usr/lib") for library in (unpacked / top).glob("*-linux-gnu/*.so*")]
    return sorted({library.parent for library in found})


class Apt:
    """Debian's package tool, with lists of its own when the system has none."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own: list[str] = []

    def ask(self, program: str, *arguments: str) -> str:
        """Run one of its programs; its output, empty when it failed."""
        done = subprocess.run(
            [program, *self._own, *arguments], capture_output=True, text=True, check=False, cwd=self._folder
        )
        return done.stdout if done.returncode == 0 else ""

    def refresh(self) -> None:
        """Fetch lists of packages into our own folder."""
        lists, cache = self._folder / "lists", self._folder / "cache"
        (lists / "partial").mkdir(parents=True, exist_ok=True)
        (cache / "archives/partial").mkdir(parents=True, exist_ok=True)
        self._own = ["-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache={cache}"]
        self._own += ["-o", "APT::Sandbox::User=root"]
        self.ask("apt-get", "-qq", "update")

    def server(self) -> str | None:
        """The name of the newest server package."""
        found = self.ask("apt-cache", "search", "--names-only", r"^postgresql-[0-9]+$")
        versions = [int(number) for number in re.findall(r"^postgresql-(\d+) ", found, re.MULTILINE)]
        return f"postgresql-{max(versions)}" if versions else None

    def unpack(self, names: list[str], target: Path) -> None:
        """Download packages and unpack their files.

        Raises:
            OSError: one of them cannot be had.
        """
        self._download(names)
        if not self._own and not all(map(self._archives, names)):
            self.refresh()  # lists may be missing, or older than what the server keeps
            self._download(names)
        for name in names:
            archives = self._archives(name)
            if not archives:
                raise FileNotFoundError(f"the package {name} cannot be downloaded")
            subprocess.run(["dpkg", "-x", str(archives[0]), str(target)], check=True)

    def _download(self, names: list[str]) -> None:
        self.ask("apt-get", "-qq", "download", *names)

    def _archives(self, name: str) -> list[Path]:
        return list(self._folder.glob(f"{name}_*.deb"))

    def libraries_of(self, name: str) -> list[str]:
        """The library packages that a package needs, directly or not, and that are not installed."""
        only = ["recommends", "suggests", "conflicts", "breaks", "replaces", "enhances"]
        said = self.ask("apt-cache", "depends", "--recurse", *(f"--no-{word}" for word in only), name)
        names = {
            line for line in said.splitlines() if line.startswith("lib") and not line.startswith(NO_NEED)
        }
        return sorted(name for name in names if not _is_installed(name))


def _is_installed(name: str) -> bool:
    done = subprocess.run(
        ["dpkg-query", "-W", "-f", "${db:Status-Status}", name], capture_output=True, text=True, check=False
    )
    return done.stdout == "installed"


def lacks_libraries(program: Path) -> bool:
    """Whether the dynamic linker misses something."""
    return (
        "not found"
        in subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False).stdout
    )


def provide(unpacked: Path) -> str:
    """Make sure there is a server, if that can be done here; says what was done about it."""
    if find_programs(unpacked) is not None:
        return ""
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        return "there is no PostgreSQL here and no apt to get one: tests that need it are skipped"
    unpacked.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=unpacked.parent, prefix=".unpacking-") as folder:
        return _unpack_server(Path(folder), unpacked)


def _unpack_server(work: Path, unpacked: Path) -> str:
    tree = work / "tree"
    tree.mkdir()
    tree.chmod(0o755)
    apt = Apt(work)
    if apt.server() is None:
        apt.refresh()
    server = apt.server()
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

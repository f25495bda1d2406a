"""Debian's packages, unpacked into a folder of ours: without root and without a change to the system.

Only the standard library is used, so any Python will do.
"""

import shutil
import subprocess
from pathlib import Path

__all__ = ["Apt", "has_apt", "lacks_libraries", "library_folders"]

NO_NEED = (
    "libllvm",
    "libz3",
)  # the compiler of PostgreSQL's long queries, a hundred megabytes; a server without it is complete


def has_apt() -> bool:
    """Whether packages can be had and unpacked here at all."""
    return shutil.which("apt-get") is not None and shutil.which("dpkg") is not None


def library_folders(unpacked: Path) -> list[Path]:
    """Where the libraries that came with unpacked packages lie."""
    found = [library for top in ("lib", "usr/lib") for library in (unpacked / top).glob("*-linux-gnu/*.so*")]
    return sorted({library.parent for library in found})


def lacks_libraries(program: Path) -> bool:
    """Whether the dynamic linker misses something."""
    return (
        "not found"
        in subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False).stdout
    )


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

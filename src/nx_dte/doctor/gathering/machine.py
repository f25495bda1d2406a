"""The machine or container: who we are, where we may write, what process 1 is."""

from __future__ import annotations

import locale
import os
import stat
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from nx_dte.doctor.facts import CertificateFact, FolderFact, LocaleFact, MachineFacts
from nx_dte.doctor.gathering.orphans import is_reaping
from nx_dte.transport import CertificatesUnusableError, certificates_in

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nx_dte.doctor.gathering.inquiry import Inquiry
    from nx_dte.doctor.gathering.programs import Programs

__all__ = ["machine_facts"]

_CERTIFICATE_VARIABLES = (
    "NODE_EXTRA_CA_CERTS",
    "SSL_CERT_FILE",
    "CI_SERVER_TLS_CA_FILE",
    "GIT_SSL_CAINFO",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "PIP_CERT",
)
# In the order in which the C library looks.
_LOCALE_VARIABLES = ("LC_ALL", "LC_CTYPE", "LANG")
_WITHOUT_LOCALE = frozenset({"C", "POSIX"})
_IN_CHECKOUT = (".git", ".git/objects", ".nx", ".nx-dte", "node_modules", "dist")


def machine_facts(
    environ: Mapping[str, str], programs: Programs, inquiry: Inquiry, *, build_folder: Path | None
) -> MachineFacts:
    """Everything about the machine. `build_folder` is the checkout, where there is one."""
    is_init = os.getpid() == 1
    reaping = inquiry.ask(lambda: None if is_init else is_reaping(programs))
    home_path = environ.get("HOME", "").strip()
    home = inquiry.ask(lambda: _folder(Path(home_path)) if home_path else None)
    temp_path = Path(environ.get("TMPDIR", "").strip() or "/tmp")  # noqa: S108  # where programs go without TMPDIR
    temp = inquiry.ask(lambda: _folder(temp_path))
    build = inquiry.ask(lambda: _build_folders(build_folder, environ))
    files = inquiry.ask(lambda: _certificates(environ))
    return MachineFacts(
        uid=os.geteuid(),
        init=_init(),
        is_init=is_init,
        is_reaping=reaping.result(None),
        umask=_umask(),
        home=home.result(_late(Path(home_path)) if home_path else None),
        temp=temp.result(_late(temp_path)),
        build_folders=build.result(()),
        locale=_locale(environ),
        certificates=files.result(()),
    )


def _folder(path: Path) -> FolderFact:
    """A folder, tried out with a file that has no name."""
    try:
        status, room = path.stat(), os.statvfs(path)
        with tempfile.TemporaryFile(dir=path):
            pass
    except FileNotFoundError:
        return FolderFact(path=path, is_there=False, is_writable=False)
    except OSError as error:
        return _unwritable(path, error.strerror or str(error))
    return FolderFact(
        path=path,
        owner_uid=status.st_uid,
        mode=stat.S_IMODE(status.st_mode),
        free_bytes=room.f_bavail * room.f_frsize,
        free_inodes=room.f_favail,
        total_inodes=room.f_files,
    )


def _late(path: Path) -> FolderFact:
    return FolderFact(path=path, is_writable=False, problem="it does not answer in time")


def _unwritable(path: Path, problem: str) -> FolderFact:
    try:
        status = path.stat()
    except OSError:
        return FolderFact(path=path, is_writable=False, problem=problem)
    return FolderFact(
        path=path,
        is_writable=False,
        owner_uid=status.st_uid,
        mode=stat.S_IMODE(status.st_mode),
        problem=problem,
    )


def _build_folders(checkout: Path | None, environ: Mapping[str, str]) -> tuple[FolderFact, ...]:
    """The checkout first; then the runner's own folder beside it, and what a job writes in."""
    if checkout is None:
        return ()
    project = Path(environ.get("CI_PROJECT_DIR", "").strip() or checkout)
    beside = project.with_name(f"{project.name}.tmp")
    wanted = [project, beside, *(checkout / name for name in _IN_CHECKOUT)]
    folders = [_folder(checkout)]
    for path in dict.fromkeys(wanted):
        if path != checkout and path.is_dir():
            is_writable = os.access(
                path, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids
            )
            folders.append(FolderFact(path=path) if is_writable else _unwritable(path, "Permission denied"))
    return tuple(folders)


def _certificates(environ: Mapping[str, str]) -> tuple[CertificateFact, ...]:
    found = []
    for variable in _CERTIFICATE_VARIABLES:
        name = environ.get(variable, "").strip()
        if not name:
            continue
        try:
            held = certificates_in(Path(name))
        except CertificatesUnusableError as error:
            found.append(CertificateFact(variable=variable, path=name, problem=error.message))
        else:
            found.append(
                CertificateFact(variable=variable, path=name, count=held.count, expired=held.expired)
            )
    return tuple(found)


def _init() -> str | None:
    try:
        return Path("/proc/1/comm").read_text(encoding="utf-8", errors="replace").strip() or None
    except OSError:
        return None


def _umask() -> int | None:
    """Read, because asking the C library for it sets it."""
    try:
        status = Path("/proc/self/status").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    line = next((line for line in status.splitlines() if line.startswith("Umask:")), "")
    digits = line.partition(":")[2].strip()
    return int(digits, 8) if digits else None


def _locale(environ: Mapping[str, str]) -> LocaleFact:
    """What the job's shell says, not what Python makes of it: without a locale, Python sets LC_CTYPE by itself."""
    given = {name: environ.get(name, "").strip() for name in _LOCALE_VARIABLES}
    if _is_pythons_own(given["LC_CTYPE"]):
        given["LC_CTYPE"] = ""
    variable = next((name for name in _LOCALE_VARIABLES if given[name]), None)
    if variable is None:
        return LocaleFact()
    value = given[variable]
    in_force = locale.setlocale(locale.LC_CTYPE)
    is_fallback = in_force in _WITHOUT_LOCALE or (
        in_force == "C.UTF-8" and value.lower() not in {"c.utf-8", "c.utf8"}
    )
    return LocaleFact(variable=variable, value=value, is_known=value in _WITHOUT_LOCALE or not is_fallback)


def _is_pythons_own(value: str) -> bool:
    """Whether LC_CTYPE is there only since Python started; the kernel remembers what a process was given."""
    if value != "C.UTF-8" or not sys.platform.startswith("linux"):
        return False
    try:
        entries = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return not any(entry.startswith(b"LC_CTYPE=") for entry in entries)

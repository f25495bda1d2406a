"""Whether an archive may be published: only what every client would accept is kept.

The light client refuses the same things when it unpacks (`archive-rules.js`). Here they are refused where somebody can
still be told, and before anything is stored under a name that others trust.
"""

from __future__ import annotations

import gzip
import posixpath
import tarfile
import zlib
from typing import TYPE_CHECKING, Final

from nx_dte.coordinator.artifacts.errors import UnsafeArchiveError

if TYPE_CHECKING:
    from pathlib import Path

TEXTS: Final = frozenset({"terminal-output", "code"})
MAX_UNPACKED_BYTES: Final = 16 * 1024**3
# Vendor pax key: the packer's workspace root, where a link's absolute target lies below it.
ROOT_RECORD: Final = "NX-DTE.root"
_CHUNK = 1024 * 1024


def inspect_archive(path: Path) -> None:
    """Read the whole archive at `path`, keeping nothing of it.

    Raises:
        UnsafeArchiveError: it is no archive of a task's outputs, or it could write outside the workspace.
    """
    seen: set[str] = set()
    unpacked = 0
    try:
        with (
            gzip.open(path) as unzipped,
            tarfile.open(fileobj=unzipped, mode="r|", bufsize=_CHUNK, errorlevel=2) as archive,
        ):
            for member in archive:
                archive.members = []  # type: ignore[attr-defined]  # or tarfile keeps every header it has seen
                _check_member(member)
                seen.add(member.name.rstrip("/"))
                unpacked += member.size
                if unpacked > MAX_UNPACKED_BYTES:
                    raise UnsafeArchiveError(f"the archive unpacks to more than {MAX_UNPACKED_BYTES} bytes")
            # The checksum stands at the very end, behind tar's padding.
            if unzipped.read(_CHUNK) and unzipped.read(1):
                raise UnsafeArchiveError("data follows the end of the archive")
    except (tarfile.TarError, EOFError, OSError, zlib.error, UnicodeError, ValueError) as error:
        raise UnsafeArchiveError(f"the upload is no sound gzip tar: {error}") from error
    if not seen >= TEXTS:
        raise UnsafeArchiveError("the archive lacks its terminal output or its exit code")


def _check_member(member: tarfile.TarInfo) -> None:
    name = member.name.rstrip("/") if member.isdir() else member.name
    parts = name.split("/")
    if any(part in {"", ".", ".."} for part in parts) or "\0" in name:
        raise UnsafeArchiveError(f"{name!r} is not a plain path below the workspace root")
    if name in TEXTS and member.isreg():
        return
    if parts[0] != "outputs" or (len(parts) == 1 and not member.isdir()):
        raise UnsafeArchiveError(f"{name!r} has no place in a task's artifact")
    if parts[1:2] and parts[1].lower() == ".git":
        raise UnsafeArchiveError(f"{name!r} is git's own; no task's outputs are there")
    if member.issym():
        _check_link(member, posixpath.dirname("/".join(parts[1:])))
    elif not (member.isreg() or member.isdir()):
        raise UnsafeArchiveError(f"{name!r} is no file, directory or symlink")


def _check_link(member: tarfile.TarInfo, directory: str) -> None:
    """A link must stay in the workspace: relative from its own directory, or absolute below the packer's root."""
    target = member.linkname
    root = member.pax_headers.get(ROOT_RECORD)
    if posixpath.isabs(target):
        inside = root is not None and (posixpath.normpath(target) + "/").startswith(
            posixpath.normpath(root) + "/"
        )
    else:
        reached = posixpath.normpath(posixpath.join(directory, target))
        inside = reached != ".." and not reached.startswith(("../", "/"))
    if not target or "\0" in target or not inside:
        raise UnsafeArchiveError(f"{member.name!r} links to {target!r}, which may leave the workspace")

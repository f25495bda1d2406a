"""What a tree of files is, to the byte: kind, mode, content or link target; and the first differences of two."""

from __future__ import annotations

import hashlib
import stat
import tarfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["Entry", "Snapshot", "differences", "snapshot_tar", "snapshot_tree"]

# Not outputs: Nx's own state, the installed packages, the repository.
IGNORED = frozenset({".git", ".nx", "node_modules"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file, folder or link."""

    kind: str
    mode: int
    content: str


Snapshot = dict[str, Entry]


def snapshot_tree(root: Path) -> Snapshot:
    """Every entry below `root`, by its relative path, without what is ignored at the top."""
    entries = (entry for entry in sorted(root.iterdir()) if entry.name not in IGNORED)
    return {str(path.relative_to(root)): _entry(path) for entry in entries for path in _walk(entry)}


def _walk(path: Path) -> Iterator[Path]:
    """The path and, if it is a folder and no link to one, everything below it."""
    yield path
    if path.is_dir() and not path.is_symlink():
        for inside in sorted(path.iterdir()):
            yield from _walk(inside)


def _entry(path: Path) -> Entry:
    if path.is_symlink():
        return Entry(kind="link", mode=0, content=str(path.readlink()))
    mode = stat.S_IMODE(path.stat().st_mode)
    if path.is_dir():
        return Entry(kind="folder", mode=mode, content="")
    return Entry(kind="file", mode=mode, content=_digest(path.read_bytes()))


def snapshot_tar(archive: Path) -> Snapshot:
    """The same from a tar of such a tree, taken while a job ran."""
    snapshot: Snapshot = {}
    with tarfile.open(archive) as tar:
        for member in tar:
            path = member.name.removeprefix("./")
            if path in {"", "."} or path.split("/")[0] in IGNORED:
                continue
            snapshot[path] = _entry_of(tar, member)
    return snapshot


def _entry_of(tar: tarfile.TarFile, member: tarfile.TarInfo) -> Entry:
    if member.issym():
        return Entry(kind="link", mode=0, content=member.linkname)
    if member.isdir():
        return Entry(kind="folder", mode=member.mode & 0o7777, content="")
    stream = tar.extractfile(member)
    assert stream is not None, member.name
    return Entry(kind="file", mode=member.mode & 0o7777, content=_digest(stream.read()))


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def differences(expected: Mapping[str, Entry], actual: Mapping[str, Entry], *, limit: int = 20) -> list[str]:
    """The first differences in words; an empty list means equal."""
    found = []
    for path in sorted({*expected, *actual}):
        before, after = expected.get(path), actual.get(path)
        if before != after:
            found.append(f"{path}: expected {_words(before)}, found {_words(after)}")
    return found[:limit]


def _words(entry: Entry | None) -> str:
    if entry is None:
        return "nothing"
    return f"{entry.kind} {entry.mode:04o} {entry.content[:20]}".strip()

"""Archives as the light client packs them, made by hand."""

from __future__ import annotations

import gzip
import io
import tarfile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["archive_of", "entry", "link"]


def entry(name: str, content: bytes = b"", **header: Any) -> tuple[tarfile.TarInfo, bytes]:
    """A regular file, or what `header` makes of it."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in header.items():
        setattr(info, key, value)
    return info, content


def link(name: str, target: str, **header: Any) -> tuple[tarfile.TarInfo, bytes]:
    """A symlink."""
    return entry(name, type=tarfile.SYMTYPE, linkname=target, **header)


def archive_of(terminal_output: bytes = b"", entries: Iterable[tuple[tarfile.TarInfo, bytes]] = ()) -> bytes:
    """A task's artifact; the same content gives the same bytes."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for info, content in (entry("terminal-output", terminal_output), entry("code", b"0"), *entries):
            archive.addfile(info, io.BytesIO(content))
    return gzip.compress(raw.getvalue(), mtime=0)

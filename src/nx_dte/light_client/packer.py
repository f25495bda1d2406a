"""Packs `bundle/` into the archive that Nx's loader downloads.

Nx's own extractors dictate the form (measured on Nx 20 to 24): plain ustar, regular files only, flat. A pax header
or a link makes Nx 20 hang. Equal files give equal bytes, so every replica serves the same bundle under one version.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path

from nx_dte.errors import InternalError

BUNDLE_FOLDER = Path(__file__).parent / "bundle"
SUFFIXES = frozenset({".js", ".json"})
ENTRY_POINT = "index.js"
VERSION_PATTERN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_NAME_LIMIT = 100  # longer names need a ustar prefix or a pax header; keep clear of both
_VERSION_DIGITS = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """The light client, ready to be served."""

    version: str
    content_hash: str
    archive: bytes

    @property
    def file_name(self) -> str:
        """Name under which the archive is served."""
        return f"{self.version}.tar.gz"


def pack_bundle(folder: Path = BUNDLE_FOLDER) -> Bundle:
    """Read the light client's files and pack them."""
    files = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix in SUFFIXES}
    if ENTRY_POINT not in files:
        raise InternalError(f"the light client in {folder} has no {ENTRY_POINT}; reinstall nx-dte")
    content_hash = nx_content_hash(files)
    return Bundle(version=content_hash[:_VERSION_DIGITS], content_hash=content_hash, archive=_archive(files))


def nx_content_hash(files: dict[str, bytes]) -> str:
    """Nx's hash of a flat folder: sha256 over the sorted, joined sha256s of its files. Names don't count."""
    digests = sorted(hashlib.sha256(data).hexdigest() for data in files.values())
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def _archive(files: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with (
        gzip.GzipFile(fileobj=packed, mode="wb", filename="", mtime=0) as compressed,
        tarfile.open(fileobj=compressed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for name, data in sorted(files.items()):
            if len(name) > _NAME_LIMIT or not VERSION_PATTERN.fullmatch(name):
                raise InternalError(
                    f"the light client's file {name!r} has a name that Nx's loader cannot unpack"
                )
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            entry.mode = 0o644
            archive.addfile(entry, io.BytesIO(data))
    return packed.getvalue()

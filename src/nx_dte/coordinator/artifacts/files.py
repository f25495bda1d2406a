"""Blobs as files of a local folder: the embedded default.

Hand-made rather than obstore's local store, because a result may only name an artifact that survives a power cut:
that needs fsync of the file before the rename and of the folder after it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path
    from typing import BinaryIO

CHUNK = 1024 * 1024
LEFTOVER_AGE_S = 24 * 3600
INCOMING = ".incoming"  # no workspace's folder begins with a dot


class FileBlobStore:
    """Files under `root`; cheapest when staged files lie on the same file system."""

    def __init__(self, root: Path) -> None:
        self._root = root
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        _sweep(root / INCOMING)

    async def publish(self, staged: Path, key: str) -> None:
        """Sync the file, then rename it into place and sync its folder."""
        await asyncio.to_thread(self.publish_now, staged, key)

    def publish_now(self, staged: Path, key: str) -> None:
        """Do what `publish` does, in the calling thread."""
        target = self._root / key
        new_folders = [folder for folder in (target.parent, *target.parent.parents) if not folder.exists()]
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            _sync(staged)
            staged.replace(target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            self._copy(staged, target)
        _sync(target.parent)
        for folder in new_folders:
            _sync(folder.parent)

    def _copy(self, staged: Path, target: Path) -> None:
        """From another file system: first the bytes, then the name."""
        copy = self._root / INCOMING / staged.name
        copy.parent.mkdir(exist_ok=True, mode=0o700)
        try:
            shutil.copyfile(staged, copy)
            _sync(copy)
            copy.replace(target)
        except BaseException:
            copy.unlink(missing_ok=True)
            raise

    async def remove(self, key: str) -> None:
        """Remove the file's name; its bytes go when its last reader has closed it."""
        await asyncio.to_thread((self._root / key).unlink, missing_ok=True)

    async def open(self, key: str) -> AsyncIterator[bytes] | None:
        """Open the file now, so that it stays readable even if retention removes its name."""
        try:
            file = await asyncio.to_thread((self._root / key).open, "rb", 0)
        except FileNotFoundError:
            return None
        return _chunks(file)

    async def exists(self, key: str) -> bool:
        """Whether the file is there."""
        return await asyncio.to_thread((self._root / key).is_file)

    async def check(self) -> None:
        """Raise when the folder has gone or may not be written."""
        if not await asyncio.to_thread(os.access, self._root, os.W_OK | os.X_OK):
            raise PermissionError(f"the artifact folder {self._root} cannot be written")


async def _chunks(file: BinaryIO) -> AsyncIterator[bytes]:
    with file:
        while chunk := await asyncio.to_thread(file.read, CHUNK):
            yield chunk


def _sweep(incoming: Path) -> None:
    """Copies that a crash cut short; others may be at work on the same folder, on copies that are younger."""
    if incoming.is_dir():
        for copy in incoming.iterdir():
            with suppress(FileNotFoundError):
                if time.time() - copy.stat().st_mtime > LEFTOVER_AGE_S:
                    copy.unlink()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

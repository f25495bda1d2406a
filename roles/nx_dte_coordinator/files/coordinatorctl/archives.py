"""A backup as one file: plain tar, since artifacts are packed already."""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path, PurePosixPath

from config import Failure


def pack(folder: Path, archive: Path) -> None:
    """Write the folder into a new file that only root reads."""
    descriptor = os.open(archive, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as opened, tarfile.open(fileobj=opened, mode="w") as tar:
        tar.add(folder, arcname=folder.name)


def unpack(archive: Path, target: Path) -> Path:
    """Unpack into a new folder; the backup's folder in it.

    Raises:
        Failure: it is no archive of one backup, or it is cut.
    """
    target.mkdir(mode=0o700)
    try:
        with tarfile.open(archive, mode="r:") as tar:
            for member in tar:
                _check(archive, member)
                tar.extract(member, target, set_attrs=False)
    except (tarfile.TarError, EOFError, OSError) as error:
        shutil.rmtree(target, ignore_errors=True)
        raise Failure(f"{archive} cannot be unpacked: {error}; take another backup") from error
    except Failure:
        shutil.rmtree(target, ignore_errors=True)
        raise
    folders = list(target.iterdir())
    if len(folders) != 1:
        shutil.rmtree(target, ignore_errors=True)
        raise Failure(
            f"{archive} does not hold one backup, but {len(folders)} things; take one that backup.yml fetched"
        )
    return folders[0]


def _check(archive: Path, member: tarfile.TarInfo) -> None:
    path = PurePosixPath(member.name)
    if not (member.isreg() or member.isdir()) or path.is_absolute() or ".." in path.parts:
        raise Failure(
            f"{archive} holds {member.name}, which no backup does; take one that backup.yml fetched"
        )

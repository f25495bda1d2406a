"""What is in a file that `docker save` made, read on the control machine."""

from __future__ import annotations

import hashlib
import json
import re
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible.errors import AnsibleFilterError

if TYPE_CHECKING:
    from collections.abc import Callable

MANIFEST = "manifest.json"
INDEX = "index.json"
CHUNK = 1 << 20


class FilterModule:
    """The filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """By name."""
        return {"nx_dte_image_archive": archive, "nx_dte_image_sha256": sha256, "nx_dte_image_known": known}


def archive(path: str) -> dict[str, list[str]]:
    """The ids that an engine may give the image, and the tags it brings.

    An engine with the classic store goes by the digest of the image's configuration, one with containerd's by that of the manifest.

    Raises:
        AnsibleFilterError: the file cannot be read, or holds not exactly one image.
    """
    found = _texts(path, {MANIFEST, INDEX})
    images = json.loads(found.get(MANIFEST, "[]"))
    if len(images) != 1:
        raise AnsibleFilterError(
            f"{path} holds {len(images)} images, not one; make it with `docker save IMAGE --output {Path(path).name}`"
        )
    configuration = images[0]["Config"].removesuffix(".json").rpartition("/")[2]
    manifests = [entry["digest"] for entry in json.loads(found.get(INDEX, "{}")).get("manifests", [])]
    ids = list(dict.fromkeys([f"sha256:{configuration}", *manifests]))
    return {"ids": ids, "tags": list(images[0].get("RepoTags") or [])}


def sha256(path: str) -> str:
    """What `sha256sum` says of the file."""
    digest = hashlib.sha256()
    try:
        with Path(path).open("rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise AnsibleFilterError(f"{path} cannot be read on the control machine: {error.strerror}") from error
    return digest.hexdigest()


def known(advice: list[dict[str, Any]], said: str) -> list[dict[str, Any]]:
    """The pieces of advice whose words an engine has said."""
    return [entry for entry in advice if re.search(entry["words"], said, re.IGNORECASE)]


def _texts(path: str, wanted: set[str]) -> dict[str, str]:
    """The small files of an archive that are wanted."""
    texts = {}
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                if member.name in wanted and (file := tar.extractfile(member)):
                    texts[member.name] = file.read().decode()
    except (OSError, EOFError, tarfile.TarError) as error:
        raise AnsibleFilterError(
            f"{path} on the control machine is no archive that `docker save` made: {error}"
        ) from error
    return texts

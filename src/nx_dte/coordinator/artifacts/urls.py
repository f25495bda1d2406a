"""Which blob store an artifacts URL means."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from nx_dte.coordinator.artifacts.files import FileBlobStore
from nx_dte.errors import ConfigurationError

if TYPE_CHECKING:
    from nx_dte.coordinator.artifacts.base import BlobStore

OBJECT_SCHEMES = frozenset({"s3", "s3a", "gs", "az", "azure", "abfs", "abfss", "memory"})


def open_blob_store(url: str | None, default_folder: Path) -> BlobStore:
    """Open the store that `url` names, or the default folder's.

    Raises:
        ConfigurationError: the scheme is unknown, or the store refuses its options.
    """
    if url is None:
        return FileBlobStore(default_folder)
    scheme = urlsplit(url).scheme
    if scheme == "file":
        return FileBlobStore(Path(unquote(urlsplit(url).path)))
    if scheme not in OBJECT_SCHEMES:
        known = ", ".join(sorted(OBJECT_SCHEMES | {"file"}))
        raise ConfigurationError(f"artifacts_url has the unknown scheme {scheme!r}; use one of {known}")
    # Imported here: obstore costs start-up time, and the embedded default never needs it.
    from obstore.exceptions import BaseError
    from obstore.store import from_url

    from nx_dte.coordinator.artifacts.objects import ObjectBlobStore

    try:
        return ObjectBlobStore(from_url(url))
    except (BaseError, ValueError) as error:
        raise ConfigurationError(
            f"artifacts_url cannot be used: {error}; check the URL and its credentials"
        ) from error

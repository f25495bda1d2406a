"""Where the coordinator is and which CI run is meant, from the variables that Nx and the light client read."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nx_dte.transport import without_credentials

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CloudEnvironment"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CloudEnvironment:
    """Address, token and the CI run's key. The light client reads the same names in the same order."""

    url: str | None = None
    """NX_CLOUD_API; None: Nx's own default, so a real Nx Cloud or none."""
    token: str | None = field(default=None, repr=False)
    ci_id: str | None = None
    environment: str = ""
    """NX_CI_EXECUTION_ENV: tells several CI runs of one pipeline apart."""
    ca_file: Path | None = None
    """NODE_EXTRA_CA_CERTS: what the light client trusts is trusted here, too."""

    @property
    def shown_url(self) -> str:
        """The address as it may stand in a log."""
        return without_credentials(self.url or "")

    @property
    def has_address(self) -> bool:
        """Whether NX_CLOUD_API can be the address of a server at all."""
        try:
            parts = urlsplit(self.url or "")
            return parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
        except ValueError:  # brackets that are not closed, a port that is none
            return False

    @property
    def is_token_fit(self) -> bool:
        """Whether the token, if there is one, can be sent at all."""
        return self.token is None or (self.token.isascii() and self.token.isprintable())

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> CloudEnvironment:
        """Read a job's environment."""

        def first(*names: str) -> str | None:
            return next((value for name in names if (value := environ.get(name, "").strip())), None)

        url = first("NX_CLOUD_API", "NRWL_API")
        ca_file = first("NODE_EXTRA_CA_CERTS")
        return cls(
            url=None if url is None else url.rstrip("/"),
            token=first("NX_CLOUD_AUTH_TOKEN", "NX_CLOUD_ACCESS_TOKEN"),
            ci_id=first("NX_CI_EXECUTION_ID", "NX_RUN_GROUP", "CI_PIPELINE_ID"),
            environment=first("NX_CI_EXECUTION_ENV", "NX_CLOUD_ENV_NAME") or "",
            ca_file=None if ca_file is None else Path(ca_file),
        )

"""What Nx's own loader asks for, without a token: is my bundle current, and the bundle.

Both answer from memory: the loader gives up after ten seconds, so nothing slow may stand in their way. Verify never
answers 404, which Nx reads as "outdated server".
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from nx_dte.coordinator.api.services import Services
from nx_dte.coordinator.engine.errors import NotFoundError
from nx_dte.protocol.base import Verification

router = APIRouter(tags=["loader"])
BUNDLE_PATH = "/nx-cloud/client/bundle/"


@router.get("/nx-cloud/client/verify", response_model_exclude_none=True)
async def verify(
    request: Request,
    services: Services,
    version: str | None = None,
    content_hash: Annotated[str | None, Query(alias="contentHash")] = None,
) -> Verification:
    """Compare the loader's bundle with ours."""
    bundle = services.bundle
    if (version, content_hash) == (bundle.version, bundle.content_hash):
        return Verification(valid=True)
    base = (services.settings.public_url or str(request.base_url)).rstrip("/")
    return Verification(valid=False, version=bundle.version, url=f"{base}{BUNDLE_PATH}{bundle.file_name}")


@router.get(BUNDLE_PATH + "{file_name}", response_class=Response)
async def download(file_name: str, services: Services) -> Response:
    """Send the bundle."""
    bundle = services.bundle
    if file_name != bundle.file_name:
        raise NotFoundError(
            f"there is no bundle {file_name[:80]!r} here; ask /nx-cloud/client/verify for the current one"
        )
    return Response(
        bundle.archive,
        media_type="application/gzip",
        headers={"cache-control": "public, max-age=31536000, immutable"},
    )

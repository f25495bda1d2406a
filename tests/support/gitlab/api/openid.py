"""OpenID Connect discovery and the keys of ID tokens."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

from tests.support.gitlab.api.access import instance_of

__all__ = ["router"]

router = APIRouter()
_CACHE = {"Cache-Control": "max-age=86400, public, must-revalidate, no-transform"}


@router.get("/.well-known/openid-configuration")
async def discovery(request: Request) -> dict[str, Any]:
    """Where the keys are."""
    instance = instance_of(request)
    return {
        "issuer": instance.settings.issuer or instance.url,
        "authorization_endpoint": f"{instance.url}/oauth/authorize",
        "token_endpoint": f"{instance.url}/oauth/token",
        "jwks_uri": f"{instance.url}/oauth/discovery/keys",
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "claims_supported": ["iss", "sub", "aud", "exp", "iat"],
    }


@router.get("/oauth/discovery/keys")
@router.get("/-/jwks")
async def keys(request: Request) -> JSONResponse:
    """The public keys."""
    return JSONResponse(instance_of(request).signer.jwks(), headers=_CACHE)

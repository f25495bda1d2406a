"""Is the process alive, and can it do its work?"""

from __future__ import annotations

import asyncio

from fastapi import APIRouter

from nx_dte.coordinator.api.errors import UnavailableError
from nx_dte.coordinator.api.services import Services

router = APIRouter(tags=["health"])
CHECK_TIMEOUT_S = 5.0


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process lives."""
    return {"status": "ok"}


@router.get("/readyz")
async def readyz(services: Services) -> dict[str, str]:
    """Store and object store answer."""
    for name, check in (("store", services.engine.check), ("object store", services.artifacts.check)):
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                await check()
        except Exception as error:  # any failure at all means: not ready
            raise UnavailableError(f"the {name} does not answer: {type(error).__name__}: {error}") from error
    return {"status": "ready"}

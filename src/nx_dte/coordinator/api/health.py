"""Is the process alive, and can it do its work?"""

from __future__ import annotations

import asyncio

from fastapi import APIRouter

from nx_dte.coordinator.api.errors import StoppingError, UnavailableError
from nx_dte.coordinator.api.services import ApiServices, Services

router = APIRouter(tags=["health"])
CHECK_TIMEOUT_S = 5.0


async def check_readiness(services: ApiServices) -> None:
    """Look whether this coordinator should be sent requests.

    Raises:
        StoppingError: it has been told to stop.
        UnavailableError: the store or the object store does not answer.
    """
    if services.traffic.is_stopping:
        raise StoppingError
    for name, check in (("store", services.engine.check), ("object store", services.artifacts.check)):
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                await check()
        except Exception as error:  # any failure at all means: not ready
            raise UnavailableError(f"the {name} does not answer: {type(error).__name__}: {error}") from error


@router.get("/healthz")
async def healthz() -> dict[str, str]:
    """The process lives."""
    return {"status": "ok"}


@router.get("/readyz")
async def readyz(services: Services) -> dict[str, str]:
    """Store and object store answer, and nobody has told the coordinator to stop."""
    await check_readiness(services)
    return {"status": "ready"}

"""What routes work with, and who calls them."""

# ruff: noqa: TC001 - FastAPI reads the annotations of what routes depend on at run time
from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import structlog
from fastapi import Depends, Request

from nx_dte.coordinator.api.observing import WAITED
from nx_dte.coordinator.api.traffic import Traffic
from nx_dte.coordinator.artifacts import ArtifactService
from nx_dte.coordinator.auth import AuthService, Identity
from nx_dte.coordinator.engine.gauges import Gauges
from nx_dte.coordinator.engine.service import Engine
from nx_dte.coordinator.engine.storage import Upload
from nx_dte.coordinator.engine.waiting import Patience
from nx_dte.coordinator.retention import Retention
from nx_dte.light_client import Bundle
from nx_dte.protocol.base import MAX_WAIT_S
from nx_dte.settings import CoordinatorSettings
from nx_dte.telemetry import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiServices:
    """Made once, by `coordinator.app`."""

    settings: CoordinatorSettings
    engine: Engine
    artifacts: ArtifactService
    retention: Retention
    auth: AuthService
    metrics: Metrics
    gauges: Gauges
    traffic: Traffic
    bundle: Bundle


def _services(request: Request) -> ApiServices:
    services = request.app.state.services
    if not isinstance(services, ApiServices):
        raise TypeError("the application was built without its services")
    return services


Services = Annotated[ApiServices, Depends(_services)]


async def _caller(request: Request, services: Services) -> Identity:
    identity = await services.auth.identify(request.headers.get("authorization"))
    structlog.contextvars.bind_contextvars(workspace=identity.workspace_id, token_id=identity.token_id)
    return identity


Caller = Annotated[Identity, Depends(_caller)]


def patience(request: Request, wait_s: float) -> Patience:
    """How long this request may wait; the time is kept out of its metric."""
    waiting = Patience(wait_s=min(wait_s, MAX_WAIT_S), is_gone=request.is_disconnected)
    request.scope[WAITED].append(waiting)
    return waiting


def upload_of(request: Request) -> Upload:
    """The request's body as an archive on its way in."""
    size = request.headers.get("content-length", "")
    return Upload(
        digest=request.headers.get("nx-dte-digest"),
        announced_size=int(size) if size.isdecimal() else None,
        body=request.stream(),
    )

"""The HTTP application, built from its services."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

import nx_dte
from nx_dte.coordinator.api import agents, errors, health, loader, runs, storage
from nx_dte.coordinator.api.bodies import JsonBodyMiddleware
from nx_dte.coordinator.api.observing import ObservingMiddleware
from nx_dte.errors import NxDteError
from nx_dte.protocol.base import ErrorAnswer

if TYPE_CHECKING:
    from starlette.requests import Request

    from nx_dte.coordinator.api.services import ApiServices


def build_api(services: ApiServices) -> FastAPI:
    """The API with everything around it."""
    app = FastAPI(
        title="nx-dte coordinator",
        version=nx_dte.__version__,
        docs_url=None,  # its pages would load scripts from elsewhere
        redoc_url=None,
        responses={"4XX": {"model": ErrorAnswer}, "5XX": {"model": ErrorAnswer}},
    )
    app.state.services = services
    errors.install(app)
    for module in (loader, health, runs, agents, storage):
        app.include_router(module.router)
    app.add_middleware(JsonBodyMiddleware, max_bytes=services.settings.request_max_bytes)
    app.add_middleware(
        ObservingMiddleware, metrics=services.metrics, traffic=services.traffic
    )  # added last: the outermost
    return app


def build_metrics_app(services: ApiServices) -> Starlette:
    """`/metrics`, for a listener of its own: it needs no token and shows no names.

    Health is here as well: while the coordinator stops, this listener is the last to close.
    """

    async def metrics(_request: Request) -> Response:
        await services.gauges.fill()
        return Response(services.metrics.render(), media_type="text/plain; version=0.0.4; charset=utf-8")

    async def healthz(_request: Request) -> Response:
        return JSONResponse(await health.healthz())

    async def readyz(_request: Request) -> Response:
        try:
            return JSONResponse(await health.readyz(services))
        except NxDteError as error:
            return errors.error_response(error)

    return Starlette(
        routes=[Route("/metrics", metrics), Route("/healthz", healthz), Route("/readyz", readyz)]
    )

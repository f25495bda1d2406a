"""The requests that are being handled now, and whether the coordinator is stopping."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import Scope

    from nx_dte.telemetry import Metrics


def route_of(scope: Scope) -> str:
    """The route's pattern, which never holds an id."""
    return str(getattr(scope.get("route"), "path", "unmatched"))


class Traffic:
    """One per application."""

    def __init__(self, metrics: Metrics) -> None:
        self._gauge = metrics.requests_in_progress
        self._scopes: dict[int, Scope] = {}
        self.is_stopping = False

    @contextmanager
    def request(self, scope: Scope) -> Iterator[None]:
        """Count a request while it is handled."""
        self._scopes[id(scope)] = scope
        self._gauge.set(len(self._scopes))
        try:
            yield
        finally:
            del self._scopes[id(scope)]
            self._gauge.set(len(self._scopes))

    def by_route(self) -> dict[str, int]:
        """How many of each, for the log: `{"PUT /api/v1/leases/{lease_id}/artifact": 2}`."""
        return dict(Counter(f"{scope['method']} {route_of(scope)}" for scope in self._scopes.values()))

"""Follows the round's CI run from outside and remembers every event the coordinator ever told."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import httpx2

if TYPE_CHECKING:
    from nx_dte.demo.coordinator import CoordinatorProcess

__all__ = ["Watcher"]

_EVERY_S = 0.3
_TIMEOUT_S = 3.0
_JOIN_S = 30.0


@dataclass(slots=True, kw_only=True)
class Watcher:
    """A context manager; it goes round the proxies, and a coordinator that is away is asked again."""

    coordinator: CoordinatorProcess
    ci_id: str
    told: list[dict[str, Any]] = field(default_factory=list)
    _run_id: str | None = None
    _stopped: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Begin."""
        self._thread = threading.Thread(target=self._watch, name="chaos-watcher", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """End."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join(_JOIN_S)

    def _watch(self) -> None:
        while not self._stopped.wait(_EVERY_S):
            with contextlib.suppress(httpx2.HTTPError, KeyError, ValueError):
                self._look()

    def _look(self) -> None:
        if self._run_id is None:
            found = self._get("/api/v1/ci-runs", ci_id=self.ci_id)["ci_run"]
            self._run_id = found and found["ci_run_id"]
            return
        after = str(self.told[-1]["sequence"]) if self.told else "0"
        # With an agent_id it is no sign of life of the main job.
        query = {"after": after, "limit": "500", "agent_id": "watcher"}
        self.told += self._get(f"/api/v1/ci-runs/{self._run_id}/events", **query)["events"]

    def _get(self, path: str, **query: str) -> Any:
        response = httpx2.get(
            f"{self.coordinator.url}{path}",
            params=query,
            headers={"authorization": self.coordinator.read_write_token},
            timeout=_TIMEOUT_S,
            trust_env=False,
        )
        response.raise_for_status()
        return response.json()

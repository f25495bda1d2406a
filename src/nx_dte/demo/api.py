"""What the demo asks the coordinator after the run, as anyone with the token could."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx2
import stamina

from nx_dte.demo.errors import DemoFailedError
from nx_dte.demo.figures import TaskRun

__all__ = ["CoordinatorApi"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CoordinatorApi:
    """A reader of the coordinator's public API."""

    url: str
    token: str

    # A reader's question may be asked again: a coordinator that restarts is away for some seconds.
    @stamina.retry(on=httpx2.TransportError, attempts=5, timeout=30.0)
    def get(self, path: str, **query: str) -> Any:
        """One request; raises with the server's own words when it refuses."""
        response = httpx2.get(
            f"{self.url}{path}",
            params=query,
            headers={"authorization": self.token},
            timeout=30,
            trust_env=False,
        )
        if not response.is_success:
            raise DemoFailedError(
                f"the coordinator answers {response.status_code} to {path}: {response.text}"
            )
        return response.json()

    def ci_run(self, ci_id: str, environment: str = "") -> dict[str, Any] | None:
        """The newest attempt of a CI run, or nothing."""
        found: dict[str, Any] | None = self.get("/api/v1/ci-runs", ci_id=ci_id, environment=environment)[
            "ci_run"
        ]
        return found

    def task_runs(self, ci_run_id: str) -> list[TaskRun]:
        """Every task of a CI run that was run, with who ran it and when."""
        views = self.get(f"/api/v1/ci-runs/{ci_run_id}/tasks")["tasks"]
        return [_task_run(view) for view in views if view["started_at"] and view["ended_at"]]

    def events(self, ci_run_id: str) -> list[dict[str, Any]]:
        """The story of a CI run, from its first event."""
        events: list[dict[str, Any]] = []
        while True:
            after = str(events[-1]["sequence"]) if events else "0"
            page = self.get(f"/api/v1/ci-runs/{ci_run_id}/events", after=after, limit="500")["events"]
            if not page:
                return events
            events += page


def _task_run(view: dict[str, Any]) -> TaskRun:
    return TaskRun(
        task_id=view["task_id"],
        agent=view["agent_name"],
        started_at=_seconds(view["started_at"]),
        ended_at=_seconds(view["ended_at"]),
        dependencies=tuple(view["dependencies"]),
    )


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()

"""Plays a runner by hand: takes a job, says how it ends. For tests of the stand-in alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx2

    from tests.support.gitlab.server import StandIn

__all__ = ["HandRunner", "jobs_of", "states", "take_all"]


@dataclass(frozen=True, slots=True)
class HandRunner:
    """One token."""

    gitlab: StandIn
    token: str
    is_graceful: bool = False

    def ask(self, **more: Any) -> httpx2.Response:
        """One `jobs/request`."""
        body = {
            "token": self.token,
            "system_id": "s_hand",
            "info": {"features": {"cancel_gracefully": self.is_graceful}},
            **more,
        }
        return self.gitlab.api.post("/jobs/request", json=body)

    def take(self) -> dict[str, Any]:
        """The next job; there must be one."""
        response = self.ask()
        assert response.status_code == 201, response.text
        job: dict[str, Any] = response.json()
        return job

    def end(self, job: dict[str, Any], exit_code: int | None = 0, **more: Any) -> httpx2.Response:
        """Success for 0, else a script failure, or what `more` says; None for a job without a code."""
        body: dict[str, Any] = {"token": job["token"], "state": "success" if exit_code == 0 else "failed"}
        if exit_code != 0:
            body |= {"exit_code": exit_code, "failure_reason": "script_failure"}
        return self.gitlab.api.put(f"/jobs/{job['id']}", json=body | more)

    def run(self, *outcomes: tuple[str, int]) -> None:
        """Take as many jobs as there are outcomes, end each with the code under its name."""
        codes = dict(outcomes)
        for _ in outcomes:
            job = self.take()
            self.end(job, codes[job["job_info"]["name"]])


def jobs_of(gitlab: StandIn, pipeline_id: int, *, with_retried: bool = False) -> list[dict[str, Any]]:
    """A pipeline's jobs, oldest first."""
    query = "?per_page=100" + ("&include_retried=true" if with_retried else "")
    found: list[dict[str, Any]] = gitlab.call(
        "GET", f"/projects/acme%2Fshop/pipelines/{pipeline_id}/jobs{query}"
    )
    return sorted(found, key=lambda job: int(job["id"]))


def states(gitlab: StandIn, pipeline_id: int) -> dict[str, str]:
    """Name → state of the newest rows."""
    return {job["name"]: job["status"] for job in jobs_of(gitlab, pipeline_id)}


def take_all(runner: HandRunner) -> dict[str, dict[str, Any]]:
    """Every job that waits for this runner, by name."""
    taken = {}
    while (response := runner.ask()).status_code == 201:
        job = response.json()
        taken[job["job_info"]["name"]] = job
    return taken

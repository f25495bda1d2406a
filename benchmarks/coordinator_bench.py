"""The coordinator as a process, over HTTP on loopback: completions a second, and how long a claim takes.

Agents report in bundles and claim in the same request, as fast as they are answered; their tasks take no time and have
no artifact. Coordinator and agents share the machine, so the figures are a floor of what the coordinator can do.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2

from nx_dte.demo.coordinator import CoordinatorProcess

__all__ = ["run"]

AGENTS = 4
TASKS = 4000
TIMEOUT_S = 120


class Client:
    """A main job and its agents."""

    def __init__(self, http: httpx2.AsyncClient, ci_id: str) -> None:
        self._http = http
        self._ci_id = ci_id
        self.claim_s: list[float] = []

    async def _post(self, path: str, body: dict[str, Any]) -> Any:
        response = await self._http.post(path, json=body)
        response.raise_for_status()
        return response.json()

    async def submit(self, tasks: int, *, slots: int, is_chained: bool) -> float:
        """Open a run, submit; returns the seconds of the submission."""
        run = await self._post("/api/v1/ci-runs", {"ci_id": self._ci_id, "job_id": self._ci_id})
        half = tasks // 2
        described = [
            {
                "task_id": f"p{number}:build",
                "project": f"p{number}",
                "target": "build",
                "hash": f"h{self._ci_id}-{number}",
                "dependencies": [f"p{number - half}:build"] if is_chained and number >= half else [],
            }
            for number in range(tasks)
        ]
        body = {"invocation_key": self._ci_id, "command": "bench", "parallel": slots, "tasks": described}
        began = time.perf_counter()
        await self._post(f"/api/v1/ci-runs/{run['ci_run_id']}/invocations", body)
        return time.perf_counter() - began

    async def agent(self, name: str, slots: int) -> int:
        """Work until there is nothing left; returns how many tasks that were."""
        key = f"{self._ci_id}-{name}"
        joined = await self._post("/api/v1/agents", {"agent_key": key, "ci_id": self._ci_id, "name": name})
        path = f"/api/v1/agents/{joined['agent_id']}"
        done = 0
        began = time.perf_counter()
        claimed = await self._post(f"{path}/claim", {"slots": slots, "holding": []})
        self.claim_s.append(time.perf_counter() - began)
        while claimed["leases"]:
            now = datetime.now(UTC).isoformat()
            reports = [
                {
                    "lease_id": lease["lease_id"],
                    "attempt": lease["attempt"],
                    "outcome": "succeeded",
                    "code": 0,
                    "hash": lease["hash"],
                    "started_at": now,
                    "ended_at": now,
                }
                for lease in claimed["leases"]
            ]
            body = {"reports": reports, "claim": {"slots": slots, "holding": []}}
            began = time.perf_counter()
            answer = await self._post(f"{path}/reports", body)
            self.claim_s.append(time.perf_counter() - began)
            done += sum(result["accepted"] for result in answer["results"])
            claimed = answer["claim"]
        return done


async def _measure(http: httpx2.AsyncClient, *, slots: int, tasks: int, is_chained: bool) -> None:
    client = Client(http, f"bench-{slots}-{is_chained}")
    submit_s = await client.submit(tasks, slots=slots, is_chained=is_chained)
    began = time.perf_counter()
    done = sum(await asyncio.gather(*(client.agent(f"agent-{number}", slots) for number in range(AGENTS))))
    took_s = time.perf_counter() - began
    waits = sorted(client.claim_s)
    print(
        f"  bundles of {slots:3}, {'chained' if is_chained else 'flat   '}  {done / took_s:6.0f} completions/s   "
        f"report + claim p50 {statistics.median(waits) * 1000:6.1f} ms, "
        f"p95 {waits[int(len(waits) * 0.95)] * 1000:6.1f} ms   submit {submit_s:.2f} s"
    )


async def _run(url: str, token: str) -> None:
    limits = httpx2.Limits(max_connections=AGENTS * 2)
    headers = {"authorization": token}
    async with httpx2.AsyncClient(base_url=url, headers=headers, timeout=TIMEOUT_S, limits=limits) as http:
        for slots, tasks, is_chained in (
            (1, 1000, False),
            (20, TASKS, False),
            (20, TASKS, True),
            (50, TASKS, False),
        ):
            await _measure(http, slots=slots, tasks=tasks, is_chained=is_chained)


def run() -> None:
    """Print the figures."""
    print(f"{AGENTS} agents, SQLite (WAL, synchronous=FULL)")
    with (
        tempfile.TemporaryDirectory(prefix="nx-dte-bench-") as folder,
        CoordinatorProcess(folder=Path(folder), settings={"NX_DTE_LOG_LEVEL": "warning"}) as coordinator,
    ):
        asyncio.run(_run(coordinator.url, coordinator.read_write_token))


if __name__ == "__main__":
    run()

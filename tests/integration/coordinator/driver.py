"""Main jobs and agents driven by hand: each method is one request of the protocol."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Any

from tests.support.archives import archive_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    import httpx2

READ_WRITE = "read-write-token-of-the-tests"
READ_ONLY = "read-only-token-of-the-tests-"
_keys = count(1)


def task(task_id: str, *, dependencies: Iterable[str] = (), **other: Any) -> dict[str, Any]:
    """A task as main submits it."""
    project, target, *configuration = task_id.split(":")
    return {
        "task_id": task_id,
        "project": project,
        "target": target,
        "configuration": configuration[0] if configuration else None,
        "hash": f"hash-of-{task_id}",
        "outputs": [f"dist/{project}"],
        "dependencies": list(dependencies),
        **other,
    }


@dataclass(slots=True, kw_only=True)
class Driver:
    """A client with a token."""

    http: httpx2.AsyncClient
    token: str = READ_WRITE
    ci_id: str = "4711"
    headers: dict[str, str] = field(default_factory=dict)

    async def send(self, method: str, path: str, **kwargs: Any) -> httpx2.Response:
        """One request, whatever the answer."""
        headers = {"authorization": self.token, **self.headers, **kwargs.pop("headers", {})}
        return await self.http.request(method, path, headers=headers, **kwargs)

    async def ask(self, method: str, path: str, **kwargs: Any) -> Any:
        """One request that must succeed; its JSON."""
        response = await self.send(method, path, **kwargs)
        assert response.status_code == 200, f"{method} {path}: {response.status_code} {response.text}"
        return response.json()

    async def refused(self, method: str, path: str, **kwargs: Any) -> tuple[int, str]:
        """One request that must be refused; its status and code."""
        response = await self.send(method, path, **kwargs)
        error = response.json()["error"]
        assert error["message"]
        assert error["next"]
        return response.status_code, error["code"]

    # ------------------------------------------------------------------------------------------ main
    async def open_run(self, *, job_id: str = "991", **other: Any) -> dict[str, Any]:
        body = {"ci_id": self.ci_id, "environment": "", "job_id": job_id, **other}
        return dict(await self.ask("POST", "/api/v1/ci-runs", json=body))

    async def run(self, ci_run_id: str) -> dict[str, Any]:
        return dict(await self.ask("GET", f"/api/v1/ci-runs/{ci_run_id}"))

    def submission(self, tasks: list[dict[str, Any]], **other: Any) -> dict[str, Any]:
        return {
            "invocation_key": f"key-{next(_keys)}",
            "command": "nx affected -t build",
            "targets": ["build"],
            "parallel": 2,
            "payload": '{"any": "thing"}',
            "tasks": tasks,
            **other,
        }

    async def submit(self, ci_run_id: str, tasks: list[dict[str, Any]], **other: Any) -> str:
        body = self.submission(tasks, **other)
        return str(
            (await self.ask("POST", f"/api/v1/ci-runs/{ci_run_id}/invocations", json=body))["invocation_id"]
        )

    async def events(self, ci_run_id: str, **query: Any) -> dict[str, Any]:
        return dict(await self.ask("GET", f"/api/v1/ci-runs/{ci_run_id}/events", params=query))

    async def tasks(self, ci_run_id: str) -> dict[str, dict[str, Any]]:
        answer = await self.ask("GET", f"/api/v1/ci-runs/{ci_run_id}/tasks")
        return {item["task_id"]: item for item in answer["tasks"]}

    # ---------------------------------------------------------------------------------------- agents
    async def ask_to_join(self, name: str = "agent-1", **other: Any) -> dict[str, Any]:
        body = {"agent_key": f"key-of-{name}", "ci_id": self.ci_id, "name": name, **other}
        return dict(await self.ask("POST", "/api/v1/agents", json=body))

    async def join(self, name: str = "agent-1", **other: Any) -> str:
        answer = await self.ask_to_join(name, **other)
        assert answer["decision"] == "joined", answer
        return str(answer["agent_id"])

    async def claim(self, agent_id: str, *, wait_s: float = 0, **other: Any) -> dict[str, Any]:
        body = {"slots": None, "holding": [], "wait_s": wait_s, **other}
        return dict(await self.ask("POST", f"/api/v1/agents/{agent_id}/claim", json=body))

    async def upload(self, lease_id: str, terminal_output: bytes = b"what it printed") -> str:
        data = archive_of(terminal_output)
        answer = await self.ask(
            "PUT",
            f"/api/v1/leases/{lease_id}/artifact",
            content=data,
            headers={"nx-dte-digest": digest(data)},
        )
        return str(answer["artifact_id"])

    def a_report(self, lease: dict[str, Any], **other: Any) -> dict[str, Any]:
        now = datetime.now(UTC).isoformat()
        return {
            "lease_id": lease["lease_id"],
            "attempt": lease["attempt"],
            "outcome": "succeeded",
            "code": 0,
            "hash": lease["hash"],
            "nx_status": "success",
            "artifact_id": None,
            "started_at": now,
            "ended_at": now,
            **other,
        }

    async def report(self, agent_id: str, lease: dict[str, Any], **other: Any) -> dict[str, Any]:
        answer = await self.ask(
            "POST", f"/api/v1/agents/{agent_id}/reports", json={"reports": [self.a_report(lease, **other)]}
        )
        return dict(answer["results"][0])

    async def work_off(self, agent_id: str) -> list[str]:
        """Claim and report well until there is nothing to get; the task ids in order."""
        done: list[str] = []
        while leases := (await self.claim(agent_id))["leases"]:
            for lease in leases:
                artifact_id = await self.upload(lease["lease_id"], lease["task_id"].encode())
                result = await self.report(agent_id, lease, artifact_id=artifact_id)
                assert result["accepted"], result
                done.append(lease["task_id"])
        return done


def digest(data: bytes) -> str:
    """The header's value."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    """A body that comes in parts, without a length."""
    for part in parts:
        yield part

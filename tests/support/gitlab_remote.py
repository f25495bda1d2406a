"""A stand-in GitLab on another host, from this machine: what a person and a script can do there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx2

from tests.support.gitlab.work_tree import WorkTree

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["TOKEN", "RemoteGitLab"]

TOKEN = "glpat-stand-in-of-the-tests"


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteGitLab:
    """Speaks as a user who may do everything; has the ways of `tests.support.gitlab.server.StandIn`."""

    url: str
    token: str = TOKEN
    api: httpx2.Client = field(init=False)

    def __post_init__(self) -> None:
        """Keep one connection."""
        client = httpx2.Client(
            base_url=f"{self.url}/api/v4",
            headers={"PRIVATE-TOKEN": self.token},
            timeout=30,
            trust_env=False,
        )
        object.__setattr__(self, "api", client)

    def call(self, method: str, path: str, /, **values: Any) -> Any:
        """Call the API with JSON and insist on success."""
        address = f"{self.url}{path}" if path.startswith("/-/") else path
        response = self.api.request(method, address, json=values or None)
        assert response.is_success, f"{method} {path}: {response.status_code} {response.text}"
        return response.json() if response.content else None

    def start_pipeline(self, project: str, /, **values: Any) -> int:
        """Start a pipeline of any source; its id."""
        pipeline_id: int = self.call("POST", f"/-/stand-in/projects/{project}/pipelines", **values)["id"]
        return pipeline_id

    def runners(self) -> list[dict[str, Any]]:
        """All runners with every detail, oldest first."""
        found = self.call("GET", "/runners/all?per_page=100")
        return [self.call("GET", f"/runners/{number}") for number in sorted(row["id"] for row in found)]

    def managers(self, runner_id: int) -> list[dict[str, Any]]:
        """The hosts that use a runner's token."""
        found: list[dict[str, Any]] = self.call("GET", f"/runners/{runner_id}/managers")
        return found

    def clone(self, project: str, folder: Path) -> WorkTree:
        """A clone that may push."""
        return WorkTree.clone(self, project, folder)

"""For the tests of backups: playbooks on the coordinator's host, and what its coordinator knows and serves."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import re
import ssl
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2

from tests.integration.coordinator.driver import Driver, task

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from testinfra.host import Host

ROOT = Path(__file__).parents[3]
VARIABLES = ROOT / "molecule/lifecycle/vars/backup.yml"
READ_WRITE_TOKEN, READ_ONLY_TOKEN = "read-write-token-of-the-lifecycle", "read-only-token-of-the-lifecycle"
NAME = "lifecycle-coordinator"
IMAGE = "nx-dte/coordinator:latest"
_RECAP = re.compile(rf"{NAME} +: ok=\d+ +changed=(\d+)")
_RUN_S = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    """How a playbook ended."""

    code: int
    output: str

    @property
    def text(self) -> str:
        """What it said, as one line: messages are wrapped anywhere."""
        return " ".join(self.output.split())

    @property
    def changed(self) -> int:
        """How many tasks changed something on the coordinator's host."""
        found = _RECAP.search(self.output)
        assert found, self.output
        return int(found[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Drill:
    """The coordinator's host, and the folder that its files are fetched to."""

    host: Host
    folder: Path
    address: str
    image: dict[str, Any] = field(default_factory=dict)

    # -------------------------------------------------------------------------------------- playbooks
    def play(self, playbook: str, *options: str, **variables: Any) -> Played:
        """Run a playbook on the host, however it ends."""
        given = {
            "nx_dte_coordinator_domain": self.address,
            "nx_dte_coordinator_image": IMAGE,
            "nx_dte_coordinator_ca_fetch_to": str(self.folder / "ca.pem"),
            **self.image,
            **variables,
        }
        inventory = os.environ["MOLECULE_INVENTORY_FILE"]
        environment = {**os.environ, "ANSIBLE_ROLES_PATH": str(ROOT / "roles"), "ANSIBLE_NOCOLOR": "1"}
        done = subprocess.run(
            [
                *("ansible-playbook", "--inventory", inventory, "--limit", NAME),
                *("--extra-vars", f"@{VARIABLES}", "--extra-vars", json.dumps(given)),
                *(*options, str(ROOT / "ansible/playbooks" / playbook)),
            ],
            env=environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=_RUN_S,
        )
        return Played(code=done.returncode, output=done.stdout)

    def succeed(self, playbook: str, *options: str, **variables: Any) -> Played:
        """Run a playbook that must succeed."""
        played = self.play(playbook, *options, **variables)
        assert played.code == 0, played.output
        return played

    def ctl(self, *arguments: str) -> Any:
        """Run the host's own program; the result of testinfra."""
        return self.host.run("python3 -IB /usr/local/lib/nx-dte/coordinatorctl " + " ".join(arguments))

    # ------------------------------------------------------------------------------------- the coordinator
    def speak(self, talk: Callable[[Driver], Awaitable[Any]]) -> Any:
        """Speak to the coordinator as jobs do: through Caddy, trusting the fetched root only."""

        async def run() -> Any:
            trusted = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
            url = f"https://{self.address}"
            async with httpx2.AsyncClient(base_url=url, verify=trusted, trust_env=False, timeout=60) as http:
                return await talk(Driver(http=http, token=READ_WRITE_TOKEN))

        return asyncio.run(run())

    def finish_a_run(self, ci_id: str) -> str:
        """A CI run of some tasks whose agent brings outputs; its id."""

        async def talk(driver: Driver) -> str:
            driver.ci_id = ci_id
            run_id = (await driver.open_run())["ci_run_id"]
            agent_id = await driver.join(f"agent-of-{ci_id}")
            tasks = [
                task(f"{ci_id}-ui:build"),
                task(f"{ci_id}-shop:build", dependencies=[f"{ci_id}-ui:build"]),
            ]
            await driver.submit(run_id, tasks)
            assert await driver.work_off(agent_id) == [item["task_id"] for item in tasks]
            # Ended: a run that is open would be given up meanwhile, which is an event, too.
            await driver.ask("POST", f"/api/v1/agents/{agent_id}/leave", json={"reason": "no_more_work"})
            await driver.ask("POST", f"/api/v1/ci-runs/{run_id}/complete", json={"reason": "complete-ci-run"})
            return str(run_id)

        return str(self.speak(talk))

    def remember(self, run_id: str) -> dict[str, Any]:
        """Everything that must be the same after a restore: the run, its tasks, its story, its artifacts' bytes."""

        async def talk(driver: Driver) -> dict[str, Any]:
            tasks = await driver.tasks(run_id)
            artifacts = {}
            for item in tasks.values():
                name = item["artifact"]["artifact_id"]
                answer = await driver.send("GET", f"/api/v1/artifacts/{name}")
                assert answer.status_code == 200, answer.text
                artifacts[name] = hashlib.sha256(answer.content).hexdigest()
            events = (await driver.events(run_id, after=0, limit=500))["events"]
            known = {
                name: (await driver.run(run_id))[name] for name in ("ci_run_id", "ci_id", "attempt", "state")
            }
            return {"run": known, "tasks": tasks, "events": events, "artifacts": artifacts}

        found: dict[str, Any] = self.speak(talk)
        assert len(found["artifacts"]) == 2
        assert found["events"]
        return found

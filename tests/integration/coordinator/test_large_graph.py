"""Ten thousand tasks in one command: submitted within 2 s, by a coordinator that stays under 200 MB."""

from __future__ import annotations

import gzip
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from nx_dte.demo.coordinator import CoordinatorProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow  # a process, and some seconds of work

TASKS = 10_000
SUBMIT_S = 2.0
TRIES = 3
"""Other processes of a busy machine may slow one try down; the best of some is the coordinator's own. Nor is it the
coordinator's time in which it was ready to go on and had no processor."""
RESIDENT_MB = 200


def graph() -> list[dict[str, Any]]:
    """5,000 projects with a build and a test each; a build needs the three before it, within groups of fifty."""
    tasks = []
    for number in range(TASKS // 2):
        needed = range(max(number - number % 50, number - 3), number)
        build = f"project-number-{number}:build:production"
        tasks += [
            {
                "task_id": build,
                "project": f"project-number-{number}",
                "target": "build",
                "configuration": "production",
                "hash": f"{number:020}",
                "outputs": [f"dist/apps/project-number-{number}"],
                "dependencies": [f"project-number-{each}:build:production" for each in needed],
            },
            {
                "task_id": f"project-number-{number}:test",
                "project": f"project-number-{number}",
                "target": "test",
                "hash": f"{TASKS + number:020}",
                "outputs": [f"coverage/project-number-{number}"],
                "dependencies": [build],
            },
        ]
    return tasks


@pytest.fixture
def coordinator(tmp_path: Path) -> Iterator[CoordinatorProcess]:
    with CoordinatorProcess(folder=tmp_path) as running:
        yield running


def peak_resident_mb(coordinator: CoordinatorProcess) -> float:
    """The most memory that the process ever held."""
    status = Path(f"/proc/{coordinator.pid}/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def waited_for_processor_s(coordinator: CoordinatorProcess) -> float:
    """For how long its threads have been kept waiting by other processes, all in all (proc(5): schedstat)."""
    threads = Path(f"/proc/{coordinator.pid}/task").iterdir()
    return sum(int((thread / "schedstat").read_text().split()[1]) for thread in threads) / 1e9


def submission(number: int) -> bytes:
    """A request as the light client sends it: packed, with a payload of a kilobyte a task."""
    body = {
        "invocation_key": f"key-{number}",
        "command": "nx run-many -t build,test",
        "targets": ["build", "test"],
        "parallel": 4,
        "payload": json.dumps([f"{task:01000}" for task in range(TASKS)]),
        "tasks": graph(),
    }
    return gzip.compress(json.dumps(body).encode(), 1)


def test_ten_thousand_tasks_are_submitted_in_time_and_in_little_memory(
    coordinator: CoordinatorProcess,
) -> None:
    headers = {"authorization": coordinator.read_write_token, "content-encoding": "gzip"}
    with httpx2.Client(base_url=coordinator.url, headers=headers, timeout=60, trust_env=False) as http:
        took_s = []
        for number in range(TRIES):
            opened = {"ci_id": str(number), "job_id": str(number)}
            run = http.post("/api/v1/ci-runs", content=gzip.compress(json.dumps(opened).encode())).json()
            packed = submission(number)
            waited_s, began = waited_for_processor_s(coordinator), time.monotonic()
            answer = http.post(f"/api/v1/ci-runs/{run['ci_run_id']}/invocations", content=packed)
            ended, waited_s = time.monotonic(), waited_for_processor_s(coordinator) - waited_s
            took_s.append(ended - began - waited_s)
            assert answer.json()["state"] == "running", answer.text
        del headers["content-encoding"]
        tasks = httpx2.get(
            f"{coordinator.url}/api/v1/ci-runs/{run['ci_run_id']}/tasks", headers=headers, timeout=60
        ).json()["tasks"]

    assert len(tasks) == TASKS
    assert sum(task["state"] == "ready" for task in tasks) == TASKS // 2 // 50
    assert min(took_s) <= SUBMIT_S, took_s
    assert peak_resident_mb(coordinator) <= RESIDENT_MB

"""Wrong tokens, garbage and forged archives: refused in words, and nothing half-written."""

from __future__ import annotations

import hashlib
import json
import time
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from nx_dte.demo import recipe
from tests.support.archives import archive_of, entry
from tests.support.stage import JOB_END_S, QUICK, START_CI_RUN

if TYPE_CHECKING:
    from pathlib import Path

    from nx_dte.demo.coordinator import CoordinatorProcess
    from nx_dte.demo.workspace import Clone
    from tests.support.stage import Stage

pytestmark = pytest.mark.timeout(240)

ESCAPE = "../../escaped.txt"
BUILD = "yarn nx run util:build"


@pytest.fixture(scope="module")
def coordinator(shared_stage: Stage) -> CoordinatorProcess:
    return shared_stage.coordinator()


def request(
    coordinator: CoordinatorProcess,
    method: str,
    path: str,
    *,
    token: str | None,
    content: bytes = b"",
    **headers: str,
) -> httpx2.Response:
    sent = {
        "content-type": "application/json",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    if token is not None:
        sent["authorization"] = token
    return httpx2.request(
        method, f"{coordinator.url}{path}", content=content, headers=sent, timeout=40, trust_env=False
    )


def call(coordinator: CoordinatorProcess, path: str, body: dict[str, Any]) -> Any:
    content = json.dumps(body).encode()
    response = request(coordinator, "POST", path, token=coordinator.read_write_token, content=content)
    assert response.is_success, response.text
    return response.json()


@pytest.mark.parametrize(
    ("token", "code"), [(None, "token_missing"), ("no-such-token-anywhere", "token_unknown")]
)
def test_a_missing_or_wrong_token_is_a_401_with_a_remedy(
    coordinator: CoordinatorProcess, token: str | None, code: str
) -> None:
    response = request(coordinator, "GET", "/api/v1/ci-runs?ci_id=1&environment=", token=token)
    assert response.status_code == 401
    error = response.json()["error"]
    assert error["code"] == code
    assert error["message"]
    assert error["next"]


@pytest.mark.parametrize("garbage", [b"{", b"\xff\xfe", b"[1, 2]", b'{"ci_id": 7}', b""], ids=repr)
def test_garbage_is_a_4xx_with_a_message(coordinator: CoordinatorProcess, garbage: bytes) -> None:
    response = request(
        coordinator, "POST", "/api/v1/ci-runs", token=coordinator.read_write_token, content=garbage
    )
    assert response.status_code in {400, 422}
    assert response.json()["error"]["message"]


@pytest.mark.parametrize("token", ["no-such-token-anywhere", ""], ids=["wrong", "missing"])
def test_main_without_a_good_token_fails_in_words(
    stage: Stage, coordinator: CoordinatorProcess, token: str
) -> None:
    variables = {**QUICK, **coordinator.variables(), "NX_CLOUD_ACCESS_TOKEN": token}
    pipeline = stage.pipeline(stage.origin(), variables)
    main = pipeline.start(pipeline.prepare("nx-dte", [START_CI_RUN]))
    assert main.wait(JOB_END_S) not in {0, None}
    assert "token" in main.log.lower()


def forged_archive() -> bytes:
    """An archive that wants to write beside the checkout, after a file that looks right."""
    forged = ("outputs/dist/libs/util/index.js", f"outputs/{ESCAPE}")
    return archive_of(b"forged\n", [entry(name, b"forged\n") for name in forged])


def escaped_files(clone: Clone) -> list[Path]:
    return list(clone.path.parent.parent.rglob("escaped.txt"))


class ForgingAgent:
    """Speaks the agents' protocol by hand, and reports a forged archive for the task it is given."""

    def __init__(self, coordinator: CoordinatorProcess, ci_id: str) -> None:
        self.coordinator = coordinator
        joined = self._join(ci_id)
        self.agent_id = joined["agent_id"]

    def _join(self, ci_id: str) -> dict[str, Any]:
        body = {
            "agent_key": "forging-agent",
            "ci_id": ci_id,
            "environment": "",
            "name": "forger",
            "instance": "1",
            "type": "",
            "job_id": "999",
            "commit": None,
            "nx_version": None,
            "wait_s": 5,
            "is_main": False,
        }
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            answer: dict[str, Any] = call(self.coordinator, "/api/v1/agents", body)
            if answer["decision"] == "joined":
                return answer
            assert answer["decision"] == "wait", answer
        raise AssertionError("no CI run to join")

    def claim_one(self) -> dict[str, Any]:
        """Claim until there is a task; returns its lease."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            claim = {"slots": 1, "holding": [], "wait_s": 5}
            answer = call(self.coordinator, f"/api/v1/agents/{self.agent_id}/claim", claim)
            if answer["leases"]:
                lease: dict[str, Any] = answer["leases"][0]
                return lease
        raise AssertionError("no task to claim")

    def report(self, lease: dict[str, Any], artifact_id: str) -> dict[str, Any]:
        """Say that the task succeeded and left this artifact; returns whether that counted."""
        report = {
            "lease_id": lease["lease_id"],
            "attempt": lease["attempt"],
            "outcome": "succeeded",
            "code": 0,
            "hash": lease["hash"],
            "nx_status": "success",
            "artifact_id": artifact_id,
            "started_at": "2026-01-01T00:00:00Z",
            "ended_at": "2026-01-01T00:00:01Z",
        }
        path = f"/api/v1/agents/{self.agent_id}/reports"
        result: dict[str, Any] = call(self.coordinator, path, {"reports": [report], "claim": None})[
            "results"
        ][0]
        return result

    def leave(self) -> None:
        """Say goodbye; what it holds goes back."""
        call(self.coordinator, f"/api/v1/agents/{self.agent_id}/leave", {"reason": ""})


def put(coordinator: CoordinatorProcess, path: str, archive: bytes) -> httpx2.Response:
    return request(
        coordinator,
        "PUT",
        path,
        token=coordinator.read_write_token,
        content=archive,
        content_type="application/octet-stream",
        nx_dte_digest=f"sha256:{hashlib.sha256(archive).hexdigest()}",
    )


def assert_unsafe(response: httpx2.Response) -> None:
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (400, "unsafe_archive")
    assert ESCAPE in error["message"]


def stored_files(coordinator: CoordinatorProcess) -> list[Path]:
    return [path for path in (coordinator.folder / "coordinator/artifacts").rglob("*") if path.is_file()]


def test_an_archive_that_leaves_the_workspace_is_refused_and_the_run_goes_on(stage: Stage) -> None:
    coordinator = stage.coordinator()
    pipeline = stage.pipeline(stage.origin(), {**QUICK, **coordinator.variables()})
    main = pipeline.start(pipeline.prepare("nx-dte", [START_CI_RUN, BUILD]))
    forger = ForgingAgent(coordinator, str(pipeline.pipeline_id))
    lease = forger.claim_one()
    assert lease["task_id"] == "util:build"

    assert_unsafe(put(coordinator, f"/api/v1/leases/{lease['lease_id']}/artifact", forged_archive()))

    assert stored_files(coordinator) == []
    result = forger.report(lease, hashlib.sha256(forged_archive()).hexdigest())
    assert (result["accepted"], result["reason"]) == (False, "artifact_missing")
    forger.leave()
    pipeline.start(pipeline.prepare("honest", recipe.AGENT_SCRIPT))
    assert main.wait(JOB_END_S) == 0
    assert "forged" not in (main.spec.clone.path / "dist/libs/util/index.js").read_text()


@pytest.mark.parametrize("is_longer", [True, False], ids=["another length", "the same length"])
def test_main_takes_nothing_from_an_archive_that_was_changed_in_the_store(
    stage: Stage, *, is_longer: bool
) -> None:
    """It breaks off on its way, again and again; so main does the work itself, and says so."""
    coordinator = stage.coordinator()
    pipeline = stage.pipeline(stage.origin(), {**QUICK, **coordinator.variables()})
    main = pipeline.start(pipeline.prepare("nx-dte", [START_CI_RUN, BUILD]))
    forger = ForgingAgent(coordinator, str(pipeline.pipeline_id))
    lease = forger.claim_one()
    harmless = put(coordinator, f"/api/v1/leases/{lease['lease_id']}/artifact", archive_of(b"harmless\n"))
    artifact_id = harmless.json()["artifact_id"]
    (stored,) = stored_files(coordinator)
    changed = forged_archive()
    stored.write_bytes(changed if is_longer else changed[: stored.stat().st_size])

    assert forger.report(lease, artifact_id)["accepted"]

    assert main.wait(JOB_END_S) == 0
    clone = main.spec.clone
    assert escaped_files(clone) == []
    assert "run in this job instead of on agents" in main.log
    assert "forged" not in (clone.path / "dist/libs/util/index.js").read_text()


def test_a_forged_cache_entry_is_refused(stage: Stage) -> None:
    coordinator = stage.coordinator()
    assert_unsafe(put(coordinator, "/api/v1/cache/4711", forged_archive()))
    assert stored_files(coordinator) == []

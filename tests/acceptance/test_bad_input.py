"""Wrong tokens, garbage and forged archives: refused in words, and nothing half-written."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import time
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from tests.support.nx_results import RUN_FILE, read_results
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
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in [
            ("terminal-output", b"forged\n"),
            ("code", b"0"),
            ("outputs/dist/libs/util/index.js", b"forged\n"),
            (f"outputs/{ESCAPE}", b"forged\n"),
        ]:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return gzip.compress(raw.getvalue())


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

    def report_one(self) -> str:
        """Claim until there is a task, and report it as succeeded; returns its id."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            claim = {"slots": 1, "holding": [], "wait_s": 5}
            answer = call(self.coordinator, f"/api/v1/agents/{self.agent_id}/claim", claim)
            if answer["leases"]:
                return self._forge(answer["leases"][0])
        raise AssertionError("no task to claim")

    def _forge(self, lease: dict[str, Any]) -> str:
        archive = forged_archive()
        uploaded = request(
            self.coordinator,
            "PUT",
            f"/api/v1/leases/{lease['lease_id']}/artifact",
            token=self.coordinator.read_write_token,
            content=archive,
            content_type="application/octet-stream",
            nx_dte_digest=f"sha256:{hashlib.sha256(archive).hexdigest()}",
        )
        assert uploaded.is_success, uploaded.text
        report = {
            "lease_id": lease["lease_id"],
            "attempt": lease["attempt"],
            "outcome": "succeeded",
            "code": 0,
            "hash": lease["hash"],
            "nx_status": "success",
            "artifact_id": uploaded.json()["artifact_id"],
            "started_at": "2026-01-01T00:00:00Z",
            "ended_at": "2026-01-01T00:00:01Z",
        }
        answer = call(
            self.coordinator, f"/api/v1/agents/{self.agent_id}/reports", {"reports": [report], "claim": None}
        )
        assert answer["results"][0]["accepted"], answer
        return str(lease["task_id"])


def test_main_refuses_an_archive_that_leaves_the_workspace(stage: Stage) -> None:
    coordinator = stage.coordinator()
    pipeline = stage.pipeline(stage.origin(), {**QUICK, **coordinator.variables()})
    main = pipeline.start(pipeline.prepare("nx-dte", [START_CI_RUN, BUILD]))
    forger = ForgingAgent(coordinator, str(pipeline.pipeline_id))
    assert forger.report_one() == "util:build"
    code = main.wait(JOB_END_S)
    clone = main.spec.clone
    assert escaped_files(clone) == []
    built = clone.path / "dist/libs/util/index.js"
    assert not built.exists() or "forged" not in built.read_text()
    assert code != 0 or built.exists(), "green only with the real outputs"
    assert ESCAPE in main.log


def test_a_forged_cache_entry_is_no_hit(stage: Stage) -> None:
    origin = stage.origin()
    plain = stage.plain(origin, [BUILD])
    task_hash = read_results(plain.spec.clone.path / RUN_FILE)["util:build"].hash
    coordinator = stage.coordinator()
    archive = forged_archive()
    stored = request(
        coordinator,
        "PUT",
        f"/api/v1/cache/{task_hash}",
        token=coordinator.read_write_token,
        content=archive,
        content_type="application/octet-stream",
        nx_dte_digest=f"sha256:{hashlib.sha256(archive).hexdigest()}",
    )
    assert stored.is_success, stored.text
    main, _ = stage.distributed(origin, coordinator, [START_CI_RUN, BUILD], agents=1)
    assert main.process.returncode == 0
    assert escaped_files(main.spec.clone) == []
    expected = (plain.spec.clone.path / "dist/libs/util/index.js").read_text()
    assert (main.spec.clone.path / "dist/libs/util/index.js").read_text() == expected

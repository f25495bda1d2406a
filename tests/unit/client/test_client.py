"""The coordinator's client against servers that are ours, somebody else's, unwell or away."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from nx_dte.client import (
    CloudEnvironment,
    CoordinatorClient,
    CoordinatorRefusedError,
    Presence,
    find_coordinator,
)
from nx_dte.errors import ConfigurationError, CoordinatorUnreachableError
from nx_dte.model.run import CiRunState

if TYPE_CHECKING:
    from pytest_httpserver import HTTPServer

VERIFY = "/nx-cloud/client/verify"
RUNS = "/api/v1/ci-runs"
RUN: dict[str, Any] = {
    "ci_run_id": "RUN",
    "workspace": "default",
    "ci_id": "70",
    "environment": "",
    "attempt": 2,
    "state": "open",
    "outcome": None,
    "reason": None,
    "distribute_by_default": True,
    "stop_agents_after": [],
    "agents_joined": 0,
    "agents": [],
    "invocations": [],
    "created_at": "2026-03-01T12:00:00Z",
    "ended_at": None,
    "token_access": "read-write",
    "main_ping_s": 5,
    "sequence": 3,
    "a_field_of_the_future": 1,
}


def client(httpserver: HTTPServer, **more: str) -> CoordinatorClient:
    return CoordinatorClient.from_environ(
        {"NX_CLOUD_API": httpserver.url_for(""), "NX_CLOUD_ACCESS_TOKEN": "t", "CI_PIPELINE_ID": "70", **more}
    )


def refusal(code: str) -> dict[str, Any]:
    return {"error": {"code": code, "message": f"{code} happened.", "next": "do something"}}


def ours(httpserver: HTTPServer, *, readiness: int = 200) -> None:
    httpserver.expect_request(RUNS, query_string="ci_id=probe").respond_with_json(
        refusal("token_missing"), status=401, headers={"www-authenticate": 'Bearer realm="nx-dte"'}
    )
    body = {"status": "ready"} if readiness == 200 else refusal("unavailable")
    httpserver.expect_request("/readyz").respond_with_json(body, status=readiness)


# -------------------------------------------------------------------------------------------- probe
def test_a_coordinator_of_ours(httpserver: HTTPServer) -> None:
    ours(httpserver)
    probe = client(httpserver).probe()
    assert (probe.presence, probe.is_ours) == (Presence.READY, True)
    assert all("authorization" not in request.headers for request, _ in httpserver.log)


def test_one_that_cannot_work_now(httpserver: HTTPServer) -> None:
    ours(httpserver, readiness=503)
    probe = client(httpserver).probe()
    assert (probe.presence, probe.is_ours) == (Presence.UNREADY, True)
    assert "unavailable happened" in probe.message


def test_one_that_is_stopping(httpserver: HTTPServer) -> None:
    httpserver.expect_request(RUNS).respond_with_json(refusal("stopping"), status=503)
    assert client(httpserver).probe().presence is Presence.UNREADY


@pytest.mark.parametrize(("status", "body"), [(200, "<html>"), (401, "{}"), (404, "Not found"), (302, "")])
@pytest.mark.parametrize("verify_status", [200, 401])
def test_somebody_else_is_no_error(
    httpserver: HTTPServer, status: int, body: str, verify_status: int
) -> None:
    httpserver.expect_request(RUNS).respond_with_data(body, status=status)
    httpserver.expect_request(VERIFY).respond_with_json({"valid": True}, status=verify_status)
    probe = client(httpserver).probe()
    assert (probe.presence, probe.is_ours) == (Presence.FOREIGN, False)


def test_a_proxy_without_anybody_behind_it(httpserver: HTTPServer) -> None:
    httpserver.expect_request(RUNS).respond_with_data("bad gateway", status=502)
    assert client(httpserver).probe().presence is Presence.UNREACHABLE


def test_a_proxy_that_knows_no_address_of_a_coordinator_that_is_down(httpserver: HTTPServer) -> None:
    """As those do that find their backends by themselves; a real Nx Cloud answers the loader's first question."""
    for path in (RUNS, VERIFY):
        httpserver.expect_request(path).respond_with_data("404 page not found", status=404)
    probe = client(httpserver).probe()
    assert (probe.presence, probe.is_away) == (Presence.UNREACHABLE, True)
    assert "a proxy whose coordinator is away" in probe.message


def test_nobody() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    away = CoordinatorClient.from_environ({"NX_CLOUD_API": f"http://127.0.0.1:{port}"})
    assert away.probe().presence is Presence.UNREACHABLE
    with pytest.raises(CoordinatorUnreachableError):
        away.newest_run(ci_id="1", timeout_s=1, attempts=1)


def test_not_configured() -> None:
    assert CoordinatorClient.from_environ({}).probe().presence is Presence.NOT_CONFIGURED


@pytest.mark.parametrize(
    "address",
    [
        "coordinator:8720",
        "http://",
        "http://[::1",
        "http://127.0.0.1:99999",
        "http://host:port",
        "ftp://host",
    ],
)
def test_what_is_no_address_is_not_taken_for_a_coordinator_that_is_away(address: str) -> None:
    wrong = CoordinatorClient.from_environ({"NX_CLOUD_API": address}).probe()
    assert (wrong.presence, "http(s)" in wrong.message) == (Presence.NOT_CONFIGURED, True)


def test_a_password_in_the_address_is_shown_nowhere(httpserver: HTTPServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    away = CoordinatorClient.from_environ({"NX_CLOUD_API": f"http://user:p4ss@127.0.0.1:{port}"}).probe()
    wrong = CoordinatorClient.from_environ({"NX_CLOUD_API": "ftp://user:p4ss@host"}).probe()
    ours(httpserver)
    url = httpserver.url_for("").replace("://", "://user:p4ss@")
    ready = CoordinatorClient.from_environ({"NX_CLOUD_API": url}).probe()
    assert ready.presence is Presence.READY
    assert not [probe for probe in (away, wrong, ready) if "p4ss" in probe.message]


def test_where_somebody_else_leads_to_is_said(httpserver: HTTPServer) -> None:
    elsewhere = {"location": "https://elsewhere.example/"}
    httpserver.expect_request(RUNS).respond_with_data("", status=302, headers=elsewhere)
    assert "leads to https://elsewhere.example/" in client(httpserver).probe().message


# --------------------------------------------------------------------------------------- questions
def test_the_newest_run_of_this_pipeline(httpserver: HTTPServer) -> None:
    headers = {"authorization": "t", "nx-dte-protocol": "1"}
    httpserver.expect_request(
        RUNS, query_string={"ci_id": "70", "environment": "e2e"}, headers=headers
    ).respond_with_json({"ci_run": RUN})
    run = client(httpserver, NX_CI_EXECUTION_ENV="e2e").newest_run()
    assert run is not None
    assert (run.attempt, run.state) == (2, CiRunState.OPEN)


def test_no_run_yet(httpserver: HTTPServer) -> None:
    httpserver.expect_request(RUNS).respond_with_json({"ci_run": None})
    assert client(httpserver).newest_run() is None


def test_no_pipeline_no_question(httpserver: HTTPServer) -> None:
    assert client(httpserver, CI_PIPELINE_ID="").newest_run() is None
    assert httpserver.log == []


def test_a_run_and_its_tasks(httpserver: HTTPServer) -> None:
    httpserver.expect_request(f"{RUNS}/RUN").respond_with_json(RUN)
    httpserver.expect_request(f"{RUNS}/RUN/tasks").respond_with_json({"tasks": []})
    assert client(httpserver).run("RUN").ci_run_id == "RUN"
    assert client(httpserver).tasks("RUN") == ()


def test_leaving_and_completing(httpserver: HTTPServer) -> None:
    httpserver.expect_request(
        f"{RUNS}/RUN/main-left", method="POST", json={"job_id": "9", "reason": "cancelled"}
    ).respond_with_json(RUN)
    httpserver.expect_request(
        f"{RUNS}/RUN/complete", method="POST", json={"reason": "done"}
    ).respond_with_json(RUN)
    client(httpserver).main_left("RUN", job_id="9", reason="cancelled")
    client(httpserver).complete("RUN", reason="done")
    httpserver.check_assertions()


def test_a_record_of_a_failure(httpserver: HTTPServer) -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    expected = {
        "record_key": "k",
        "command": "make e2e",
        "code": 3,
        "terminal_output": "",
        "started_at": "2026-03-01T12:00:00Z",
        "ended_at": "2026-03-01T12:00:00Z",
    }
    httpserver.expect_request(f"{RUNS}/RUN/records", method="POST", json=expected).respond_with_json(
        {"record_id": "R"}
    )
    client(httpserver).add_record("RUN", key="k", command="make e2e", code=3, at=noon)
    httpserver.check_assertions()


def test_an_artifact_comes_as_it_is_and_a_missing_one_is_a_refusal(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/api/v1/artifacts/aa").respond_with_data(b"\x1f\x8bbytes")
    httpserver.expect_request("/api/v1/artifacts/bb").respond_with_json(refusal("gone"), status=404)
    assert client(httpserver).artifact("aa") == b"\x1f\x8bbytes"
    with pytest.raises(CoordinatorRefusedError, match="gone happened"):
        client(httpserver).artifact("bb")


# ------------------------------------------------------------------------------- before a job begins
def test_one_that_comes_back_is_waited_for(httpserver: HTTPServer) -> None:
    httpserver.expect_ordered_request(RUNS).respond_with_data("bad gateway", status=502)
    httpserver.expect_ordered_request(RUNS).respond_with_json(
        refusal("token_missing"), status=401, headers={"www-authenticate": 'Bearer realm="nx-dte"'}
    )
    httpserver.expect_ordered_request("/readyz").respond_with_json({"status": "ready"})
    assert client(httpserver).probe_for(30).presence is Presence.READY


def test_without_patience_it_is_asked_once(httpserver: HTTPServer) -> None:
    httpserver.expect_request(RUNS).respond_with_data("bad gateway", status=502)
    assert client(httpserver).probe_for(0).is_away
    assert len(httpserver.log) == 1


def test_a_job_finds_its_coordinator(httpserver: HTTPServer) -> None:
    ours(httpserver)
    httpserver.expect_request(RUNS, headers={"authorization": "t"}).respond_with_json({"ci_run": None})
    assert find_coordinator(client(httpserver), patience_s=0).presence is Presence.READY


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("NX_CLOUD_ACCESS_TOKEN", "CI/CD variable"),
        ("CI_PIPELINE_ID", "NX_CI_EXECUTION_ID"),
        ("NX_CLOUD_API", "address"),
    ],
)
def test_a_job_that_lacks_something_is_told_what(httpserver: HTTPServer, missing: str, message: str) -> None:
    ours(httpserver)
    with pytest.raises(ConfigurationError, match=message):
        find_coordinator(client(httpserver, **{missing: ""}), patience_s=0)


@pytest.mark.parametrize("token", ["secr3t\nsecr3t", "secr3t\x01", "secr3t-\u00f6"])
def test_a_token_that_cannot_be_sent_is_no_absence(httpserver: HTTPServer, token: str) -> None:
    ours(httpserver)
    with pytest.raises(ConfigurationError, match="NX_CLOUD_ACCESS_TOKEN holds a line break") as caught:
        find_coordinator(client(httpserver, NX_CLOUD_ACCESS_TOKEN=token), patience_s=0)
    assert "secr3t" not in str(caught.value)


def test_a_refused_token_is_no_absence_but_a_fault_of_the_coordinator_is(httpserver: HTTPServer) -> None:
    ours(httpserver)
    httpserver.expect_oneshot_request(RUNS, headers={"authorization": "t"}).respond_with_json(
        refusal("token_unknown"), status=401
    )
    with pytest.raises(CoordinatorRefusedError, match="token_unknown"):
        find_coordinator(client(httpserver), patience_s=0)
    httpserver.expect_request(RUNS, headers={"authorization": "t"}).respond_with_json(
        refusal("internal"), status=500
    )
    assert find_coordinator(client(httpserver), patience_s=0).is_away


def test_somebody_else_needs_neither_token_nor_id_of_ours(httpserver: HTTPServer) -> None:
    httpserver.expect_request(RUNS).respond_with_data("Not found", status=404)
    job = client(httpserver, NX_CLOUD_ACCESS_TOKEN="", CI_PIPELINE_ID="")
    assert find_coordinator(job, patience_s=0).presence is Presence.FOREIGN


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 426])
def test_a_refusal_comes_with_the_coordinators_words(httpserver: HTTPServer, status: int) -> None:
    httpserver.expect_request(RUNS).respond_with_json(refusal("no"), status=status)
    with pytest.raises(CoordinatorRefusedError, match=r"no happened \(do something\)") as refused:
        client(httpserver).newest_run()
    assert refused.value.exit_code == 78


def test_a_coordinator_that_is_unwell_counts_as_away(httpserver: HTTPServer) -> None:
    httpserver.expect_request(RUNS).respond_with_json(refusal("internal"), status=500)
    with pytest.raises(CoordinatorUnreachableError, match="internal happened"):
        client(httpserver).newest_run(attempts=1)


@pytest.mark.parametrize("body", ["<html>", "[]", '{"ci_run": {"state": "of the future"}}'])
def test_an_answer_that_cannot_be_read_names_the_versions(httpserver: HTTPServer, body: str) -> None:
    httpserver.expect_request(RUNS).respond_with_data(body)
    with pytest.raises(CoordinatorRefusedError, match="another version"):
        client(httpserver).newest_run()


# ------------------------------------------------------------------------------------- environment
def test_names_and_their_order_are_the_light_clients() -> None:
    cloud = CloudEnvironment.from_environ(
        {
            "NX_CLOUD_API": "http://first/",
            "NRWL_API": "http://second",
            "NX_CLOUD_AUTH_TOKEN": "a",
            "NX_CLOUD_ACCESS_TOKEN": "b",
            "NX_RUN_GROUP": "group",
            "CI_PIPELINE_ID": "70",
        }
    )
    assert (cloud.url, cloud.token, cloud.ci_id, cloud.environment) == ("http://first", "a", "group", "")
    assert "'a'" not in repr(cloud)

"""The coordinator, Nx's loader, and clocks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nx_dte.client import Presence, Probe
from nx_dte.doctor.facts import CoordinatorFacts, LoaderFact, TokenFact
from nx_dte.doctor.findings import Status
from tests.unit.doctor.healthy import COORDINATOR, URL, found, healthy

OK, NOTE, PROBLEM = Status.OK, Status.NOTE, Status.PROBLEM
ALL = ("coordinator", "protocol", "light_client", "clock", "token")


@pytest.mark.parametrize(
    ("url", "status", "words"),
    [
        ("https://dte.example.org", OK, "https://dte.example.org"),
        ("https://dte.example.org:8443/dte/", OK, "/dte"),
        ("http://127.0.0.1:8720", OK, "127.0.0.1"),
        ("http://localhost:8720", OK, "localhost"),
        ("http://[::1]:8720", OK, "::1"),
        ("http://dte.example.org", NOTE, "unencrypted"),
        ("https://user:word@dte.example.org", NOTE, "user name or password"),
        ("dte.example.org", PROBLEM, "http://"),
        ("ftp://dte.example.org", PROBLEM, "http://"),
        ("$DTE_URL", PROBLEM, "not replaced"),
        ("https://", PROBLEM, "no host"),
        ("https://dte example", PROBLEM, "white space"),
        ("https://dte.example.org:port", PROBLEM, "no address"),
        ("https://dte.example.org?x=1", PROBLEM, "query"),
        (None, NOTE, "not checked"),
        ("", NOTE, "not checked"),
    ],
)
def test_address(url: str | None, status: Status, words: str) -> None:
    finding = found("coordinator_address", healthy(environ={"NX_CLOUD_API": url}))
    assert (finding.status, words in finding.found) == (status, True)
    assert "user:word" not in finding.found


@pytest.mark.parametrize("check_id", ALL)
@pytest.mark.parametrize(
    ("url", "words"), [(None, "is not set"), ("ftp://x", "no address"), (URL, "no time")]
)
def test_where_nobody_was_asked_nothing_is_wrong(check_id: str, url: str | None, words: str) -> None:
    facts = healthy(environ={"NX_CLOUD_API": url}, coordinator=CoordinatorFacts())
    finding = found(check_id, facts)
    assert finding.status is NOTE
    assert finding.found.startswith("not checked")
    assert words in finding.found


@pytest.mark.parametrize(
    ("presence", "message", "status", "remedy"),
    [
        (Presence.READY, "ready", OK, None),
        (Presence.FOREIGN, "is not a coordinator", NOTE, "Nx Cloud"),
        (Presence.UNREADY, "the store does not answer", PROBLEM, "log"),
        (
            Presence.UNREACHABLE,
            "[SSL: CERTIFICATE_VERIFY_FAILED] self-signed",
            PROBLEM,
            "NODE_EXTRA_CA_CERTS",
        ),
        (
            Presence.UNREACHABLE,
            "certificate verify failed: IP address mismatch, certificate is not valid for '10.0.0.1'",
            PROBLEM,
            "another name",
        ),
        (Presence.UNREACHABLE, "[Errno -2] Name or service not known", PROBLEM, "name servers"),
        (Presence.UNREACHABLE, "Temporary failure in name resolution", PROBLEM, "name servers"),
        (Presence.UNREACHABLE, "[Errno 111] Connection refused", PROBLEM, "Start the coordinator"),
        (Presence.UNREACHABLE, "did not answer within 5 s", PROBLEM, "firewall"),
    ],
)
def test_who_answers(presence: Presence, message: str, status: Status, remedy: str | None) -> None:
    probe = Probe(presence=presence, message=message)
    finding = found("coordinator", healthy(coordinator=replace(COORDINATOR, probe=probe)))
    assert finding.status is status
    assert (remedy or "") in str(finding.remedy)


def test_somebody_else_is_asked_no_more_than_that() -> None:
    foreign = CoordinatorFacts(probe=Probe(presence=Presence.FOREIGN, message="not ours"), clock_skew_s=1.0)
    for check_id in ("protocol", "light_client", "token"):
        finding = found(check_id, healthy(coordinator=foreign))
        assert (finding.status, finding.found.startswith("not checked")) == (NOTE, True)


@pytest.mark.parametrize(("status_code", "status"), [(200, OK), (401, OK), (426, PROBLEM), (None, NOTE)])
def test_protocol(status_code: int | None, status: Status) -> None:
    token = TokenFact(status=status_code, words="the client speaks protocol 1, this coordinator 2")
    assert found("protocol", healthy(coordinator=replace(COORDINATOR, token=token))).status is status


@pytest.mark.parametrize(
    ("loader", "status", "words"),
    [
        (LoaderFact(verify_s=0.2, bundle_url=f"{URL}/b"), OK, "0.2 s"),
        (LoaderFact(verify_s=6.0, bundle_url=f"{URL}/b"), NOTE, "gives up after 10 s"),
        (LoaderFact(verify_s=10.4, bundle_url=f"{URL}/b"), PROBLEM, "gives up after 10 s"),
        (LoaderFact(verify_s=0.2, bundle_url="http://dte.example.org/b"), NOTE, "sends Nx to http://"),
        (LoaderFact(verify_s=0.2, bundle_url="https://10.0.0.7:8720/b"), NOTE, "sends Nx to https://10"),
        (LoaderFact(verify_s=0.2, problem="verify answers 302"), PROBLEM, "302"),
    ],
)
def test_light_client(loader: LoaderFact, status: Status, words: str) -> None:
    finding = found("light_client", healthy(coordinator=replace(COORDINATOR, loader=loader)))
    assert (finding.status, words in finding.found) == (status, True)


@pytest.mark.parametrize(
    ("skew_s", "status", "words"),
    [
        (0.0, OK, "agrees"),
        (29.0, OK, "agrees"),
        (-29.0, OK, "agrees"),
        (31.0, NOTE, "31 s behind"),
        (-31.0, NOTE, "31 s ahead of"),
        (301.0, PROBLEM, "301 s behind"),
        (-86_400.0, PROBLEM, "ahead of"),
        (None, NOTE, "not checked"),
    ],
)
def test_clock(skew_s: float | None, status: Status, words: str) -> None:
    finding = found("clock", healthy(coordinator=replace(COORDINATOR, clock_skew_s=skew_s)))
    assert (finding.status, words in finding.found) == (status, True)

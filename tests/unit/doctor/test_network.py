"""Certificate files and proxies."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nx_dte.doctor.addresses import parsed, proxy_before
from nx_dte.doctor.facts import CertificateFact
from nx_dte.doctor.findings import Status
from tests.unit.doctor.healthy import MACHINE, found, healthy

OK, NOTE, PROBLEM = Status.OK, Status.NOTE, Status.PROBLEM
NODES = CertificateFact(variable="NODE_EXTRA_CA_CERTS", path="/etc/ca.pem", count=2)
OPENSSLS = CertificateFact(variable="SSL_CERT_FILE", path="/etc/ca.pem", count=2)


@pytest.mark.parametrize(
    ("files", "url", "status", "words"),
    [
        ((), "https://dte.example.org", OK, "no variable"),
        (
            (NODES, OPENSSLS),
            "https://dte.example.org",
            OK,
            "2 in /etc/ca.pem (NODE_EXTRA_CA_CERTS, SSL_CERT_FILE)",
        ),
        ((replace(NODES, problem="No such file"),), "https://dte.example.org", PROBLEM, "No such file"),
        ((replace(NODES, expired=2),), "https://dte.example.org", PROBLEM, "expired"),
        ((replace(NODES, expired=1),), "https://dte.example.org", OK, "2 in"),
        ((OPENSSLS,), "https://dte.example.org", NOTE, "Node does not read"),
        ((OPENSSLS,), "http://127.0.0.1:8720", OK, "2 in"),
    ],
)
def test_certificates(files: tuple[CertificateFact, ...], url: str, status: Status, words: str) -> None:
    facts = healthy(environ={"NX_CLOUD_API": url}, machine=replace(MACHINE, certificates=files))
    finding = found("certificates", facts)
    assert (finding.status, words in finding.found) == (status, True)


@pytest.mark.parametrize(
    ("environ", "variable"),
    [
        ({}, None),
        ({"HTTP_PROXY": "http://p"}, None),  # of the other scheme
        ({"HTTPS_PROXY": "http://p"}, "HTTPS_PROXY"),
        ({"https_proxy": "http://p", "HTTPS_PROXY": "http://q"}, "https_proxy"),
        ({"ALL_PROXY": "http://p"}, "ALL_PROXY"),
        ({"HTTPS_PROXY": " "}, None),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "dte.example.org"}, None),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "localhost, DTE.example.org"}, None),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": ".example.org"}, None),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "*.example.org"}, None),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "*"}, None),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "dte.example.org:443"}, None),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "dte.example.org:8443"}, "HTTPS_PROXY"),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "example.org"}, "HTTPS_PROXY"),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "10.0.0.0/8,localhost"}, "HTTPS_PROXY"),
        ({"HTTPS_PROXY": "http://p", "NO_PROXY": "dte.example.org", "no_proxy": "localhost"}, "HTTPS_PROXY"),
    ],
)
def test_whose_proxy_nx_would_use(environ: dict[str, str], variable: str | None) -> None:
    assert proxy_before(parsed("https://dte.example.org"), environ) == variable


def test_a_proxy_before_the_coordinator() -> None:
    assert found("proxy", healthy()).status is OK
    finding = found("proxy", healthy(environ={"HTTPS_PROXY": "http://user:word@proxy.example.org"}))
    assert (finding.status, "NO_PROXY does not name dte.example.org" in finding.found) == (NOTE, True)
    assert "word" not in finding.found
    assert found("proxy", healthy(environ={"NX_CLOUD_API": "ftp://x"})).status is NOTE

"""Token, CI id, and the variables that change how a job works."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from nx_dte.client import Presence, Probe
from nx_dte.doctor.checks.identity import NUMBERS
from nx_dte.doctor.facts import CoordinatorFacts, TokenFact
from nx_dte.doctor.findings import Status
from tests.unit.doctor.healthy import COORDINATOR, TOKEN, WORKSPACE, found, healthy

if TYPE_CHECKING:
    from pathlib import Path

OK, NOTE, PROBLEM = Status.OK, Status.NOTE, Status.PROBLEM


@pytest.mark.parametrize(
    ("asked", "status", "words"),
    [
        (TokenFact(status=200), OK, "does not say"),
        (
            TokenFact(status=200, ci_run_id="RUN", attempt=2, access="read-only"),
            OK,
            "CI run RUN (attempt 2) of this pipeline was opened with a read-only one",
        ),
        (TokenFact(status=401, words="the token is unknown"), PROBLEM, "the token is unknown"),
        (TokenFact(status=426, words="speaks protocol 2"), NOTE, "not checked"),
        (TokenFact(status=503, words="the store is away"), NOTE, "not checked: the store is away"),
        (TokenFact(), NOTE, "not checked"),
    ],
)
def test_what_the_coordinator_says_of_the_token(asked: TokenFact, status: Status, words: str) -> None:
    finding = found("token", healthy(coordinator=replace(COORDINATOR, token=asked)))
    assert (finding.status, words in finding.found) == (status, True)


def test_no_token() -> None:
    finding = found("token", healthy(environ={"NX_CLOUD_ACCESS_TOKEN": None}))
    assert finding.status is PROBLEM
    assert "not protected" not in str(finding.remedy)
    unprotected = {"NX_CLOUD_ACCESS_TOKEN": None, "CI_COMMIT_REF_PROTECTED": "false"}
    assert "not protected" in str(found("token", healthy(environ=unprotected)).remedy)


@pytest.mark.parametrize("presence", [Presence.FOREIGN, Presence.UNREACHABLE])
@pytest.mark.parametrize("token", [None, TOKEN])
def test_without_a_coordinator_of_ours_the_token_is_not_judged(presence: Presence, token: str | None) -> None:
    facts = healthy(
        environ={"NX_CLOUD_ACCESS_TOKEN": token},
        coordinator=CoordinatorFacts(probe=Probe(presence=presence, message="x")),
    )
    assert found("token", facts).status is NOTE


def test_a_variable_that_was_not_replaced() -> None:
    finding = found("token", healthy(environ={"NX_CLOUD_ACCESS_TOKEN": "$DTE_TOKEN"}))
    assert (finding.status, "not replaced" in finding.found) == (PROBLEM, True)
    assert "DTE_TOKEN" not in finding.found


@pytest.mark.parametrize(("nx", "status"), [("20.8.4", PROBLEM), ("21.0.4", OK), (None, PROBLEM)])
def test_the_old_name_alone_is_not_enough_for_nx_20(nx: str | None, status: Status) -> None:
    environ: dict[str, str | None] = {"NX_CLOUD_ACCESS_TOKEN": None, "NX_CLOUD_AUTH_TOKEN": TOKEN}
    facts = healthy(environ=environ, workspace=replace(WORKSPACE, nx_version=nx))
    assert found("token", facts).status is status


def test_two_different_tokens() -> None:
    finding = found("token", healthy(environ={"NX_CLOUD_AUTH_TOKEN": "another-token"}))
    assert (finding.status, "not used" in finding.found) == (NOTE, True)
    assert found("token", healthy(environ={"NX_CLOUD_AUTH_TOKEN": TOKEN})).status is OK


@pytest.mark.parametrize(
    ("environ", "status", "words"),
    [
        ({}, OK, "4711 (CI_PIPELINE_ID)"),
        ({"NX_CI_EXECUTION_ID": "x"}, OK, "x (NX_CI_EXECUTION_ID)"),
        ({"NX_CI_EXECUTION_ENV": "linux"}, OK, "4711 (CI_PIPELINE_ID, environment linux)"),
        ({"CI_PIPELINE_ID": None}, PROBLEM, "cannot find each other"),
        ({"CI_PIPELINE_ID": None, "CI": None}, NOTE, "not checked: this is no CI job"),
        ({"CI_PIPELINE_ID": " ", "CI": "false"}, NOTE, "not checked"),
    ],
)
def test_ci_id(environ: dict[str, str | None], status: Status, words: str) -> None:
    finding = found("ci_id", healthy(environ=environ))
    assert (finding.status, words in finding.found) == (status, True)


@pytest.mark.parametrize(
    ("environ", "status", "words"),
    [
        ({}, OK, "nothing"),
        ({"NX_NO_CLOUD": "true"}, PROBLEM, "NX_NO_CLOUD"),
        ({"NX_NO_CLOUD": "false"}, OK, "nothing"),
        ({"NX_CLOUD_DISTRIBUTED_EXECUTION": "false"}, PROBLEM, "NX_CLOUD_DISTRIBUTED_EXECUTION"),
        ({"NX_CLOUD_DISTRIBUTED_EXECUTION": "true"}, OK, "nothing"),
        ({"NX_DTE_AGENT_ID": "A"}, PROBLEM, "NX_DTE_AGENT_ID"),
        ({"NX_DAEMON": "true"}, NOTE, "NX_DAEMON"),
        ({"NX_DAEMON": "false"}, OK, "nothing"),
        ({"NX_SKIP_NX_CACHE": "true"}, NOTE, "NX_SKIP_NX_CACHE"),
        ({"NX_DISABLE_REMOTE_CACHE": "true"}, NOTE, "NX_DISABLE_REMOTE_CACHE"),
        ({"NX_BATCH_MODE": "true"}, NOTE, "NX_BATCH_MODE"),
        ({"NX_DAEMON": "true", "NX_NO_CLOUD": "true"}, PROBLEM, "NX_DAEMON"),
    ],
)
def test_switches(environ: dict[str, str | None], status: Status, words: str) -> None:
    finding = found("switches", healthy(environ=environ))
    assert (finding.status, words in finding.found) == (status, True)


@pytest.mark.parametrize(
    ("name", "value", "status"),
    [
        ("NX_DTE_JOIN_TIMEOUT", "120", OK),
        ("NX_DTE_JOIN_TIMEOUT", "0.5", OK),
        ("NX_DTE_JOIN_TIMEOUT", "5m", PROBLEM),
        ("NX_DTE_JOIN_TIMEOUT", "-1", PROBLEM),
        ("NX_DTE_TASK_TIMEOUT", "0", PROBLEM),
        ("NX_DTE_TASK_TIMEOUT", "604801", PROBLEM),
        ("NX_CLOUD_AGENT_TIMEOUT_MS", "900000", OK),
        ("NX_CLOUD_AGENT_TIMEOUT_MS", "1e6", PROBLEM),
        ("NX_CLOUD_NUMBER_OF_RETRIES", " ", OK),
    ],
)
def test_settings(name: str, value: str, status: Status) -> None:
    finding = found("settings", healthy(environ={name: value}))
    assert (finding.status, name in finding.found) == (status, status is PROBLEM)


def test_the_light_client_reads_the_same_numbers(repository_root: Path) -> None:
    source = (repository_root / "src/nx_dte/light_client/bundle/environment.js").read_text(encoding="utf-8")
    read = set(re.findall(r"\bnumber\('(\w+)'", source))
    assert read == set(NUMBERS)
    least = re.search(r"number\('NX_DTE_TASK_TIMEOUT'.*least: ([\d.]+), most: ([\d_]+)", source)
    assert least is not None
    assert NUMBERS["NX_DTE_TASK_TIMEOUT"][:2] == (float(least[1]), float(least[2]))

"""Nx, the package nx-cloud, and nx.json."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nx_dte.doctor.checks.workspace import TESTED_NX
from nx_dte.doctor.findings import Status
from tests.unit.doctor.healthy import WORKSPACE, found, healthy

OK, NOTE, PROBLEM = Status.OK, Status.NOTE, Status.PROBLEM


@pytest.mark.parametrize(
    ("version", "status", "words"),
    [
        ("20.8.4", OK, "20.8.4"),
        ("20.8.5", NOTE, "not tested"),
        ("24.0.6", NOTE, "not tested"),
        ("19.8.0", PROBLEM, "older than 20"),
        (None, NOTE, "not known"),
    ],
)
def test_nx(version: str | None, status: Status, words: str) -> None:
    finding = found("nx", healthy(workspace=replace(WORKSPACE, nx_version=version)))
    assert (finding.status, words in finding.found) == (status, True)


def test_what_nx_dte_itself_would_refuse_is_said_in_its_words() -> None:
    refused = replace(
        WORKSPACE, nx_version=None, problem="nx is not installed in /builds/demo. Run `yarn install`"
    )
    finding = found("nx", healthy(workspace=refused))
    assert (finding.status, finding.remedy) == (PROBLEM, refused.problem)


def test_a_missing_lock_file_is_said_once() -> None:
    refused = replace(WORKSPACE, manager=None, problem="no lock file")
    assert found("nx", healthy(workspace=refused)).status is NOTE
    assert found("package_manager", healthy(workspace=refused)).status is PROBLEM


def test_what_is_tested_is_what_the_pages_and_the_example_say(repository_root: Path) -> None:
    example = (repository_root / "examples/workspace/package.json").read_text(encoding="utf-8")
    page = (repository_root / "docs/differences.md").read_text(encoding="utf-8")
    for version in TESTED_NX:
        assert f'"nx": "{version}"' in example
        assert version in page


def test_the_package_nx_cloud() -> None:
    assert found("nx_cloud_package", healthy()).status is OK
    installed = replace(WORKSPACE, nx_cloud_package=Path("/builds/demo/node_modules/nx-cloud"))
    finding = found("nx_cloud_package", healthy(workspace=installed))
    assert (finding.status, "/node_modules/nx-cloud" in finding.found) == (PROBLEM, True)
    assert (
        found("nx_cloud_package", healthy(workspace=replace(WORKSPACE, names_nx_cloud=True))).status
        is PROBLEM
    )


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        ({}, OK, "nothing"),
        ({"tasksRunnerOptions": {"default": {"options": {}}}}, OK, "nothing"),
        ({"tasksRunnerOptions": {"default": {"runner": "nx-cloud"}}}, OK, "nothing"),
        (
            {"tasksRunnerOptions": {"default": {"runner": "nx/tasks-runners/default"}}},
            PROBLEM,
            "tasks runner",
        ),
        ({"tasksRunnerOptions": "odd"}, OK, "nothing"),
        ({"neverConnectToCloud": True}, NOTE, "atomized"),
        ({"nxCloudAccessToken": "s"}, NOTE, "holds a token"),
    ],
)
def test_nx_json(content: dict[str, Any], status: Status, words: str) -> None:
    finding = found("nx_json", healthy(workspace=replace(WORKSPACE, nx_json=content)))
    assert (finding.status, words in finding.found) == (status, True)


def test_nx_json_with_several_faults_names_all_and_counts_as_the_worst() -> None:
    content = {
        "neverConnectToCloud": True,
        "tasksRunnerOptions": {"default": {"runner": "./own"}},
    }
    finding = found("nx_json", healthy(workspace=replace(WORKSPACE, nx_json=content)))
    assert finding.status is PROBLEM
    assert finding.found.index("./own") < finding.found.index("neverConnectToCloud")


def test_an_nx_json_that_cannot_be_read() -> None:
    finding = found("nx_json", healthy(workspace=replace(WORKSPACE, nx_json_problem="Expecting value")))
    assert (finding.status, "Expecting value" in finding.found) == (PROBLEM, True)

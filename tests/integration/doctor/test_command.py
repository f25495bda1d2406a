"""`nx-dte doctor` as it is called: in a bare place, with its formats, roles and exit codes."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

import nx_dte
from nx_dte.doctor.checks import CHECKS
from nx_dte.doctor.role import Role

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.doctor.conftest import Place

pytestmark = pytest.mark.slow  # starts processes


def test_a_bare_place_has_no_problem_of_a_job(place: Place) -> None:
    """No checkout, no coordinator, none of GitLab's variables."""
    checks = place.checks()
    of_jobs = {
        *("checkout", "history", "base", "commit", "build_folder", "nx", "nx_json", "package_manager"),
        *(
            "coordinator_address",
            "coordinator",
            "protocol",
            "light_client",
            "token",
            "ci_id",
            "clock",
            "proxy",
        ),
    }
    for check_id in of_jobs:
        assert checks[check_id]["status"] == "note", checks[check_id]
        assert checks[check_id]["found"].startswith("not checked: ")
    for check_id in ("python", "git", "switches", "settings", "locale", "home", "temp"):
        assert checks[check_id]["status"] == "ok", checks[check_id]


def test_text_is_one_line_a_check_and_a_sum(place: Place) -> None:
    result = place.call()
    lines = result.output.splitlines()
    assert lines[0] == f"nx-dte doctor {nx_dte.__version__}: main job, {place.folder}"
    shown = [line.split()[1] for line in lines[1:-1] if line.split()[0] != "->"]
    wanted = [check.check_id for check in CHECKS if Role.MAIN in check.roles and check.check_id != "origin"]
    assert shown == wanted
    assert lines[-1].endswith(" ok")
    assert result.errors == ""


def test_a_problem_ends_with_78_and_says_what_to_do(place: Place) -> None:
    result = place.call(NX_DTE_JOIN_TIMEOUT="5m", NX_NO_CLOUD="true")
    assert result.code == 78
    assert "  problem  switches " in result.output
    assert "-> Correct NX_DTE_JOIN_TIMEOUT or unset it." in result.output


@pytest.mark.parametrize("role", Role)
def test_json_has_the_checks_of_the_role(place: Place, role: Role) -> None:
    result = place.call("--role", role.value, "--format", "json")
    document = json.loads(result.output)
    assert list(document) == ["nx_dte", "role", "directory", "has_problem", "checks"]
    assert (document["role"], document["directory"]) == (role.value, str(place.folder))
    assert document["has_problem"] == (result.code == 78)
    assert [check["id"] for check in document["checks"]] == [
        check.check_id for check in CHECKS if role in check.roles and check.check_id != "origin"
    ]
    for check in document["checks"]:
        assert list(check) == ["id", "status", "found", "remedy"]
        assert check["status"] in {"ok", "note", "problem"}
        assert check["status"] != "problem" or check["remedy"]


def test_a_folder_that_is_not_there(place: Place, tmp_path: Path) -> None:
    result = place.call("--directory", str(tmp_path / "nowhere"))
    assert (result.code, result.output) == (78, "")
    assert "Name an existing folder with --directory [configuration]" in result.errors


def test_another_folder_than_the_current_one(place: Place, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    assert f"main job, {other}" in place.call("--directory", str(other)).output


def test_an_unknown_role_is_a_configuration_error(place: Place) -> None:
    assert place.call("--role", "server").code == 78


def test_without_any_variable_but_path(place: Place) -> None:
    place.variables = {"HOME": "", "LANG": "", "TMPDIR": ""}
    checks = place.checks()
    assert checks["home"]["status"] == "problem"
    assert (checks["locale"]["status"], checks["locale"]["found"]) == (
        "note",
        "LANG is not set: programs take text for ASCII",
    )


def test_without_any_program(place: Place) -> None:
    checks = place.checks(PATH="/nonexistent")
    assert {name for name in ("node", "git") if checks[name]["status"] == "problem"} == {"node", "git"}
    assert checks["init"]["found"].startswith("not checked")


def test_where_there_is_a_shell_an_orphan_is_made(place: Place) -> None:
    """Who waits for it is up to the machine; that somebody looked is not."""
    found = place.checks(PATH=os.environ["PATH"])["init"]
    assert "process 1" in found["found"]

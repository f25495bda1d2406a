"""All checks together: what a healthy place is told, what an empty one is, and that no secret is shown."""

from __future__ import annotations

import ast
from dataclasses import fields, replace
from pathlib import Path

import pytest

from nx_dte.client import CloudEnvironment, Presence, Probe
from nx_dte.doctor.checks import CHECKS
from nx_dte.doctor.examining import judge
from nx_dte.doctor.facts import CoordinatorFacts, Facts, FolderFact, LoaderFact, MachineFacts, TokenFact
from nx_dte.doctor.findings import Status
from nx_dte.doctor.report import as_json, as_text
from nx_dte.doctor.role import Role
from tests.unit.doctor.healthy import COORDINATOR, ROOT, TOKEN, WORKSPACE, healthy

CHECKS_FOLDER = Path(__file__).resolve().parents[3] / "src/nx_dte/doctor/checks"


@pytest.mark.parametrize("role", Role)
def test_where_all_is_well_everything_is_ok(role: Role) -> None:
    examination = judge(healthy(role))
    assert {
        name for name, finding in examination.findings.items() if finding.status is not Status.OK
    } == set()
    assert not examination.has_problem


def test_roles_are_asked_what_concerns_them() -> None:
    by_role = {role: set(judge(healthy(role)).findings) for role in Role}
    assert "docker" in by_role[Role.HOST] - by_role[Role.MAIN] - by_role[Role.IMAGE]
    assert "pnpm" in by_role[Role.IMAGE] - by_role[Role.MAIN] - by_role[Role.HOST]
    assert {"base", "history"} == by_role[Role.MAIN] - by_role[Role.AGENT]
    assert {"checkout", "nx", "token"}.isdisjoint(by_role[Role.IMAGE] | by_role[Role.HOST])


def test_the_remote_is_a_subject_only_when_it_was_asked() -> None:
    assert "origin" not in judge(healthy()).findings
    assert "origin" in judge(healthy(), asks_origin=True).findings


def test_ids_are_unique() -> None:
    ids = [check.check_id for check in CHECKS]
    assert sorted(set(ids)) == sorted(ids)


@pytest.mark.parametrize("role", Role)
def test_a_bare_container_has_notes_and_no_problem(role: Role) -> None:
    """Nothing but the programs: no checkout, no coordinator, none of GitLab's variables."""
    environ = {"PATH": "/usr/bin", "HOME": "/home/node", "LANG": "C.UTF-8"}
    bare = replace(
        healthy(role),
        environ=environ,
        cloud=CloudEnvironment.from_environ(environ),
        checkout=None,
        workspace=None,
        coordinator=CoordinatorFacts(),
        engine=None,
        machine=replace(healthy().machine, build_folders=(), certificates=()),
    )
    examination = judge(bare)
    assert not examination.has_problem
    unchecked = {finding.found for finding in examination.findings.values() if finding.status is Status.NOTE}
    assert all(words.startswith("not checked: ") for words in unchecked)
    assert unchecked or role is Role.IMAGE


@pytest.mark.parametrize("role", Role)
def test_what_could_not_be_found_out_raises_nothing(role: Role) -> None:
    """Every probe failed: all that may be None is None."""
    nothing = Facts(
        role=role,
        directory=ROOT,
        environ={},
        cloud=CloudEnvironment(),
        python=(3, 11, 0),
        machine=MachineFacts(uid=0, temp=FolderFact(path=Path("/tmp"))),
    )
    assert set(judge(nothing).findings) == set(judge(healthy(role)).findings)


def test_secrets_are_masked_wherever_they_turn_up() -> None:
    """A message of a program or a server may repeat what it was sent."""
    environ: dict[str, str | None] = {
        "CI_JOB_TOKEN": "job-token-64",
        "DEPLOY_PASSWORD": "pass-word-1",
        "NX_DTE_JOIN_TIMEOUT": "pass-word-1",
    }
    facts = healthy(
        environ=environ,
        coordinator=CoordinatorFacts(
            probe=Probe(presence=Presence.UNREADY, message=f"store away, said to {TOKEN}"),
            loader=LoaderFact(verify_s=0.1, problem="GET https://user:job-token-64@dte.example.org/x: 502"),
            token=TokenFact(status=401, words=f"no such token: {TOKEN}"),
        ),
        workspace=replace(WORKSPACE, problem="https://oauth2:another@git.example.org cannot be read"),
    )
    for text in (as_text(judge(facts)), as_json(judge(facts))):
        for secret in (TOKEN, "job-token-64", "pass-word-1", "user:", "another@"):
            assert secret not in text
        assert "[masked]" in text


def test_facts_do_not_show_secrets_either() -> None:
    assert TOKEN not in repr(healthy())


def test_checks_look_at_facts_only() -> None:
    """They import nothing that looks at the machine."""
    forbidden = {
        "os",
        "time",
        "subprocess",
        "shutil",
        "tempfile",
        "nx_dte.transport",
        "nx_dte.doctor.gathering",
    }
    for file in CHECKS_FOLDER.glob("*.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        imported = {
            node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module
        }
        imported |= {
            alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
        }
        assert imported.isdisjoint(forbidden), file


def test_a_healthy_coordinator_was_asked_everything() -> None:
    assert [field.name for field in fields(COORDINATOR) if getattr(COORDINATOR, field.name) is None] == []

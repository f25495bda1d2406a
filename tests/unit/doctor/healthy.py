"""Facts of places where all is well, for tests that change one thing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nx_dte.client import CloudEnvironment, Presence, Probe
from nx_dte.doctor.checks import CHECKS
from nx_dte.doctor.facts import (
    CertificateFact,
    CheckoutFacts,
    CoordinatorFacts,
    EngineFact,
    Facts,
    FolderFact,
    LoaderFact,
    LocaleFact,
    MachineFacts,
    Program,
    TokenFact,
    WorkspaceFacts,
)
from nx_dte.doctor.findings import Finding, Status
from nx_dte.doctor.role import Role
from nx_dte.nx_commands import Runner

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ENVIRON", "MACHINE", "ROOT", "TOKEN", "WORKSPACE", "found", "healthy", "program"]

ROOT = Path("/builds/demo")
TOKEN = "a-token-that-nobody-may-see"
COMMIT = "c0ffee" * 6 + "c0ff"
URL = "https://dte.example.org"
ENVIRON = {
    "CI": "true",
    "CI_PIPELINE_ID": "4711",
    "CI_COMMIT_SHA": COMMIT,
    "CI_COMMIT_BEFORE_SHA": "b" * 40,
    "NX_CLOUD_API": URL,
    "NX_CLOUD_ACCESS_TOKEN": TOKEN,
}
GIB = 1024**3
ROOMY = FolderFact(
    path=ROOT, owner_uid=1000, mode=0o755, free_bytes=80 * GIB, free_inodes=10**6, total_inodes=10**7
)
MACHINE = MachineFacts(
    uid=1000,
    temp=replace(ROOMY, path=Path("/tmp")),
    init="tini",
    is_reaping=True,
    umask=0o022,
    home=replace(ROOMY, path=Path("/home/node")),
    build_folders=(ROOMY,),
    locale=LocaleFact(variable="LANG", value="C.UTF-8"),
    certificates=(CertificateFact(variable="NODE_EXTRA_CA_CERTS", path="/etc/ca.pem", count=3),),
)
WORKSPACE = WorkspaceFacts(root=ROOT, manager=Runner.YARN, nx_version="20.8.4")
CHECKOUT = CheckoutFacts(root=ROOT, owner_uid=1000, head=COMMIT, is_shallow=False, changed_files=0)
COORDINATOR = CoordinatorFacts(
    probe=Probe(presence=Presence.READY, message="ready"),
    loader=LoaderFact(verify_s=0.1, bundle_url=f"{URL}/nx-cloud/client/bundle/1.tar.gz"),
    token=TokenFact(status=200),
    clock_skew_s=0.4,
)
VERSIONS = {
    "node": "18.20.8",
    "git": "2.39.5",
    "yarn": "1.22.22",
    "npm": "10.8.2",
    "pnpm": "9.15.0",
    "docker": "28.0.1",
    "gitlab-runner": "17.5.0",
}


def program(name: str, version: str | None, problem: str | None = None) -> Program:
    """One that is installed."""
    return Program(name=name, path=f"/usr/bin/{name}", version=version, problem=problem)


def healthy(
    role: Role = Role.MAIN, *, environ: Mapping[str, str | None] | None = None, **changes: Any
) -> Facts:
    """Facts without a fault. `environ` adds to the job's variables, or with None removes one."""
    merged = {**ENVIRON, **(environ or {})}
    variables = {name: value for name, value in merged.items() if value is not None}
    facts = Facts(
        role=role,
        directory=ROOT,
        environ=variables,
        cloud=CloudEnvironment.from_environ(variables),
        python=(3, 11, 7),
        machine=MACHINE,
        programs={name: program(name, version) for name, version in VERSIONS.items()},
        checkout=CHECKOUT,
        workspace=WORKSPACE,
        coordinator=COORDINATOR,
        engine=EngineFact(address="unix:///var/run/docker.sock", has_socket=True, version="28.0.1"),
        trusted_checkouts=("*",),
    )
    return replace(facts, **changes)


def found(check_id: str, facts: Facts) -> Finding:
    """What one check says. Every problem must come with a remedy."""
    check = next(check for check in CHECKS if check.check_id == check_id)
    finding = check.examine(facts)
    assert finding.status is not Status.PROBLEM or finding.remedy
    return finding

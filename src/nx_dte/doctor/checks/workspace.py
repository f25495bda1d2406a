"""The Nx workspace: its Nx, what may stand in the light client's way, and nx.json."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from nx_dte.doctor.findings import combined, not_checked, note, ok, problem
from nx_dte.doctor.versions import version_of
from nx_dte.nx_commands.checkout import OLDEST_MAJOR_OF_OURS

if TYPE_CHECKING:
    from nx_dte.doctor.facts import Facts, WorkspaceFacts
    from nx_dte.doctor.findings import Finding

__all__ = ["nx", "nx_cloud_package", "nx_json"]

TESTED_NX = ("20.8.4",)
"""What the acceptance tests run on."""
_RUNNERS = frozenset({"nx-cloud", "@nrwl/nx-cloud"})


def nx(facts: Facts) -> Finding:
    """Whether Nx is installed, and is one that is tested."""
    workspace = facts.workspace
    if workspace is None:
        return not_checked(f"there is no nx.json in {facts.directory} or above it")
    if workspace.problem is None:
        return _version(facts, workspace)
    if workspace.manager is None:
        return not_checked("the package manager is wanted first")
    return problem(f"nx-dte cannot work in {workspace.root}", workspace.problem)


def nx_cloud_package(facts: Facts) -> Finding:
    """Whether the npm package nx-cloud is there, which Nx prefers to any light client."""
    workspace = facts.workspace
    if workspace is None:
        return not_checked(f"there is no nx.json in {facts.directory} or above it")
    if workspace.nx_cloud_package is not None:
        return problem(
            f"the npm package nx-cloud is installed at {workspace.nx_cloud_package}: Nx loads that instead of the "
            "coordinator's light client",
            "Remove nx-cloud (and @nrwl/nx-cloud) from package.json and install again. The command `nx-cloud` comes with "
            "the nx package.",
        )
    if workspace.names_nx_cloud:
        return problem(
            "package.json wants the npm package nx-cloud: once it is installed, Nx loads that instead of the "
            "coordinator's light client",
            "Remove nx-cloud (and @nrwl/nx-cloud) from package.json and its lock file.",
        )
    return ok("not installed, as it should be")


def nx_json(facts: Facts) -> Finding:
    """Whether nx.json leaves the way to the coordinator open."""
    workspace = facts.workspace
    if workspace is None:
        return not_checked(f"there is no nx.json in {facts.directory} or above it")
    if workspace.nx_json_problem is not None:
        return problem(f"nx.json cannot be read: {workspace.nx_json_problem}", "Correct it.")
    content = workspace.nx_json
    findings = []
    runner = _default_runner(content)
    if runner is not None and runner not in _RUNNERS:
        findings.append(
            problem(
                f"nx.json sets the tasks runner {runner!r}: nothing is distributed",
                "Remove tasksRunnerOptions.default.runner from nx.json.",
            )
        )
    if content.get("neverConnectToCloud") is True:
        findings.append(
            note(
                "nx.json says neverConnectToCloud: Nx refuses atomized targets (e2e-ci)",
                "Remove neverConnectToCloud from nx.json.",
            )
        )
    if content.get("nxCloudAccessToken"):
        findings.append(
            note(
                "nx.json holds a token (nxCloudAccessToken), which everybody sees who may read the repository",
                "Revoke it, remove it, and make NX_CLOUD_ACCESS_TOKEN a CI/CD variable.",
            )
        )
    return combined(findings, otherwise="nothing in it stands in the way")


def nx_major(facts: Facts) -> int | None:
    """The workspace's major version of Nx."""
    version = None if facts.workspace is None else version_of(facts.workspace.nx_version)
    return None if version is None else version[0]


def _version(facts: Facts, workspace: WorkspaceFacts) -> Finding:
    version, major = workspace.nx_version, nx_major(facts)
    if version is None:
        return note(f"its version is not known: there is no node_modules/nx; tested: {', '.join(TESTED_NX)}")
    if major is not None and major < OLDEST_MAJOR_OF_OURS:
        return problem(
            f"{version} is older than {OLDEST_MAJOR_OF_OURS}: the light client does not know it",
            "Update it with `nx migrate`; a real Nx Cloud still takes it.",
        )
    if version not in TESTED_NX:
        return note(f"{version} is not tested; tested: {', '.join(TESTED_NX)}")
    return ok(f"{version} in {workspace.root}")


def _default_runner(content: Any) -> str | None:
    options = content.get("tasksRunnerOptions")
    default = options.get("default") if isinstance(options, dict) else None
    runner = default.get("runner") if isinstance(default, dict) else None
    return runner if isinstance(runner, str) else None

"""Python, Node, git, and whoever installs node_modules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nx_dte.doctor.findings import not_checked, note, ok, problem
from nx_dte.doctor.role import Role
from nx_dte.doctor.versions import dotted, version_of
from nx_dte.nx_commands import Runner

if TYPE_CHECKING:
    from nx_dte.doctor.facts import Facts, Program
    from nx_dte.doctor.findings import Finding

__all__ = ["bundled", "git", "node", "package_manager", "python"]

OLDEST_PYTHON = (3, 11)
OLDEST_NODE = (18,)
"""What the light client is written for."""
OLDEST_GIT = (2, 31)
"""The first that takes settings from GIT_CONFIG_COUNT, with which nx-dte calls it."""
# The oldest Node that each major of Nx is made for, by the compatibility matrix of Nx's documentation; a major that is not
# named here is taken for the newest one before it.
_NODE_OF_NX = {16: (16,), 17: (18,), 21: (20, 19)}


def python(facts: Facts) -> Finding:
    """Whether nx-dte itself runs on a Python it is made for."""
    found = dotted(facts.python)
    if facts.python < OLDEST_PYTHON:
        return problem(
            f"{found} is older than {dotted(OLDEST_PYTHON)}", "Install nx-dte with Python 3.11 or newer."
        )
    return ok(found)


def node(facts: Facts) -> Finding:
    """Whether Node is there, and new enough for the light client and for the workspace's Nx."""
    program = facts.programs.get("node")
    if program is None or program.path is None:
        if facts.role is Role.HOST:
            return note(
                "node is not on PATH; jobs of the docker executor have their own, those of the shell executor need it"
            )
        return problem("node is not on PATH", "Use an image with Node, node:18 or newer, or install it.")
    version = version_of(program.version)
    if version is None:
        return _silent(program, facts)
    found = f"{dotted(version)} at {program.path}"
    if version < OLDEST_NODE:
        return problem(
            f"{found} is older than {dotted(OLDEST_NODE)}", "Use an image with Node 18 or newer: node:18."
        )
    nx = None if facts.workspace is None else version_of(facts.workspace.nx_version)
    wanted = None if nx is None else _node_for(nx[0])
    if nx is not None and wanted is not None and version < wanted:
        return note(
            f"{found}; Nx {nx[0]} is made for Node {dotted(wanted)} and newer",
            f"If Nx fails to start, use an image with node:{wanted[0]}.",
        )
    return ok(found)


def git(facts: Facts) -> Finding:
    """Whether git is there."""
    program = facts.programs.get("git")
    if program is None or program.path is None:
        remedy = "Install git: Nx and nx-dte compare commits with it."
        return (
            note("git is not on PATH", remedy)
            if facts.role is Role.HOST
            else problem("git is not on PATH", remedy)
        )
    version = version_of(program.version)
    if version is None:
        return _silent(program, facts)
    if version < OLDEST_GIT:
        return note(
            f"{dotted(version)} is older than {dotted(OLDEST_GIT)}",
            "nx-dte cannot make it trust a checkout of another owner; set safe.directory yourself, or use a newer git.",
        )
    return ok(f"{dotted(version)} at {program.path}")


def package_manager(facts: Facts) -> Finding:
    """Whether the package manager that the lock file is of is there."""
    workspace = facts.workspace
    if workspace is None:
        return not_checked(f"{facts.directory} is in no Nx workspace")
    if workspace.manager is None:
        return problem(
            f"no lock file of yarn, npm or pnpm in {workspace.root} or above it",
            "Commit the lock file, or name the package manager with --runner.",
        )
    name = "npm" if workspace.manager is Runner.NPX else workspace.manager.value
    program = facts.programs.get(name)
    if program is None or program.path is None:
        return problem(
            f"the lock file is one of {name}, and {name} is not on PATH",
            f"Use an image with {name}, or install it before the job's first command.",
        )
    version = version_of(program.version)
    if version is None:
        return _silent(program, facts)
    found = f"{name} {dotted(version)} at {program.path}"
    named, _, wanted = (workspace.named_manager or "").partition("@")
    major = version_of(wanted)
    if named == name and major is not None and major[0] != version[0] and not workspace.brings_yarn:
        return note(
            f"{found}; package.json names {named}@{dotted(major)}",
            f"Use an image with {name} {major[0]}, or `corepack enable` in it.",
        )
    return ok(found)


def bundled(name: str, facts: Facts) -> Finding:
    """Whether an image has a program that works without a download."""
    program = facts.programs.get(name)
    if program is None or program.path is None:
        return problem(f"{name} is not on PATH", f"Install {name} in the image.")
    version = version_of(program.version)
    return _silent(program, facts) if version is None else ok(f"{dotted(version)} at {program.path}")


def _node_for(nx_major: int) -> tuple[int, ...] | None:
    known = [major for major in _NODE_OF_NX if major <= nx_major]
    return _NODE_OF_NX[max(known)] if known else None


def _silent(program: Program, facts: Facts) -> Finding:
    """It is there and does not say its version. In a job on a busy machine lateness is no fault; in an image it is one."""
    is_fault = not program.is_late or facts.role is Role.IMAGE
    return (problem if is_fault else note)(
        f"{program.path} does not say its version: {program.problem or 'it prints none'}",
        f"Run `{program.name} --version` here and see what it needs; a stub that downloads {program.name} when it is "
        "first called does not count.",
    )

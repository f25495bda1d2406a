"""What a machine needs that a GitLab runner is on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nx_dte.doctor.findings import not_checked, note, ok, problem

if TYPE_CHECKING:
    from nx_dte.doctor.facts import EngineFact, Facts
    from nx_dte.doctor.findings import Finding

__all__ = ["docker", "gitlab_runner"]


def docker(facts: Facts) -> Finding:
    """Whether a container engine answers this user."""
    engine, client = facts.engine, facts.programs.get("docker")
    if engine is None:
        return not_checked("the engine was not asked")
    if engine.version is not None:
        return ok(f"engine {engine.version} at {engine.address}")
    if client is None or client.path is None:
        socket = f"there is a socket at {engine.address}" if engine.has_socket else "no engine"
        return note(
            f"{socket}, and no docker program to ask with",
            "If the docker executor is wanted here, install an engine and its client.",
        )
    if engine.has_socket is False:
        return note(
            f"docker is installed, but there is no socket at {engine.address}",
            "Start the engine, if the docker executor is wanted here: systemctl enable --now docker.",
        )
    return _silent(engine, facts.machine.uid)


def gitlab_runner(facts: Facts) -> Finding:
    """Whether gitlab-runner is installed."""
    program = facts.programs.get("gitlab-runner")
    if program is None or program.path is None:
        return note(
            "gitlab-runner is not on PATH",
            "Install it, if this host is to run jobs itself and not in a container.",
        )
    if program.version is None:
        return problem(
            f"{program.path} does not say its version: {program.problem or 'it prints none'}",
            "Run `gitlab-runner --version` here and see what it needs.",
        )
    return ok(f"{program.version} at {program.path}")


def _silent(engine: EngineFact, uid: int) -> Finding:
    said = engine.problem or "it does not say why"
    if "permission denied" in said.lower():
        return problem(
            f"user {uid} may not use the engine at {engine.address}",
            "Call the doctor as root or as the runner's user, and add that user to the group docker.",
        )
    return problem(
        f"the engine at {engine.address} does not answer: {said}",
        "Start it: systemctl restart docker; then see journalctl -u docker.",
    )

"""What a job says of itself: token, CI id, and the variables that change how it works."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from nx_dte.doctor.checks.coordinator import is_ours, unasked
from nx_dte.doctor.checks.workspace import nx_major
from nx_dte.doctor.findings import combined, not_checked, note, ok, problem

if TYPE_CHECKING:
    from nx_dte.doctor.facts import Facts, TokenFact
    from nx_dte.doctor.findings import Finding

__all__ = ["NUMBERS", "ci_id", "settings", "switches", "token"]

_CHOSEN_BY_OTHER_NAME = 21
"""From this major of Nx on NX_CLOUD_AUTH_TOKEN alone makes it ask the coordinator."""
_NUMBER = re.compile(r"\d+(\.\d+)?")
WEEK_S = 604_800.0
# name -> (least, most, unit): what the light client takes; with anything else it ends every command.
NUMBERS: dict[str, tuple[float, float, str]] = {
    "NX_DTE_COORDINATOR_LOST_S": (0, float("inf"), "seconds"),
    "NX_DTE_JOIN_TIMEOUT": (0, float("inf"), "seconds"),
    "NX_DTE_TASK_TIMEOUT": (0.001, WEEK_S, "seconds"),
    "NX_CLOUD_AGENT_TIMEOUT_MS": (0, float("inf"), "milliseconds"),
    "NX_CLOUD_ORCHESTRATOR_TIMEOUT_MS": (0, float("inf"), "milliseconds"),
    "NX_CLOUD_NUMBER_OF_RETRIES": (0, float("inf"), "retries"),
}
_CACHE_SWITCHES = (
    "NX_SKIP_NX_CACHE",
    "NX_DISABLE_NX_CACHE",
    "NX_SKIP_REMOTE_CACHE",
    "NX_DISABLE_REMOTE_CACHE",
)
_UNTESTED_SWITCHES = {"NX_BATCH_MODE": "batches of tasks are not tested with nx-dte"}


def token(facts: Facts) -> Finding:
    """Whether the job has a token that the coordinator takes."""
    if facts.coordinator.probe is None:
        return not_checked(unasked(facts))
    if facts.cloud.token is None:
        return _no_token(facts)
    name = next(each for each in ("NX_CLOUD_AUTH_TOKEN", "NX_CLOUD_ACCESS_TOKEN") if facts.is_set(each))
    if facts.cloud.token.startswith("$"):
        return problem(
            f"the value of {name} is the name of a variable that was not replaced",
            "That variable is not there in this job: a protected one is there on protected branches and tags only.",
        )
    if not facts.is_set("NX_CLOUD_ACCESS_TOKEN") and (nx_major(facts) or 0) < _CHOSEN_BY_OTHER_NAME:
        return problem(
            "only NX_CLOUD_AUTH_TOKEN is set; Nx 20 and older look at NX_CLOUD_ACCESS_TOKEN alone to decide whether to "
            "distribute",
            "Name the variable NX_CLOUD_ACCESS_TOKEN.",
        )
    if not is_ours(facts) or facts.coordinator.token is None:
        return not_checked(f"{name} is set, but there is no coordinator of nx-dte to ask")
    return _judged(facts, facts.coordinator.token, name)


def ci_id(facts: Facts) -> Finding:
    """Whether something tells this CI run from others."""
    environ = facts.environ
    for name in ("NX_CI_EXECUTION_ID", "NX_RUN_GROUP", "CI_PIPELINE_ID"):
        if value := environ.get(name, "").strip():
            environment = f", environment {facts.cloud.environment}" if facts.cloud.environment else ""
            return ok(f"{value} ({name}{environment})")
    if environ.get("CI", "").strip().lower() in {"", "false", "0"}:
        return not_checked("this is no CI job")
    return problem(
        "neither CI_PIPELINE_ID nor NX_CI_EXECUTION_ID is set: main and agents cannot find each other",
        "GitLab sets the first. Elsewhere set NX_CI_EXECUTION_ID to something that main and agents of a pipeline share.",
    )


def switches(facts: Facts) -> Finding:
    """Whether a variable switches distribution, or a part of it, off."""
    environ = facts.environ
    findings = []
    if environ.get("NX_NO_CLOUD") == "true":
        findings.append(problem("NX_NO_CLOUD=true: nothing is distributed", "Unset NX_NO_CLOUD."))
    if environ.get("NX_CLOUD_DISTRIBUTED_EXECUTION") == "false":
        findings.append(
            problem(
                "NX_CLOUD_DISTRIBUTED_EXECUTION=false: nothing is distributed",
                "Unset NX_CLOUD_DISTRIBUTED_EXECUTION.",
            )
        )
    if facts.is_set("NX_DTE_AGENT_ID"):
        findings.append(
            problem(
                "NX_DTE_AGENT_ID is set, as inside a task: nx then runs its tasks where it is",
                "Unset NX_DTE_AGENT_ID; nothing but an agent sets it, for its tasks.",
            )
        )
    if environ.get("NX_DAEMON") == "true":
        findings.append(
            note("NX_DAEMON=true: agents are tested without Nx's daemon only", "Unset NX_DAEMON in CI jobs.")
        )
    off = [f"{name}=true" for name in _CACHE_SWITCHES if environ.get(name) == "true"]
    if off:
        findings.append(note(f"{', '.join(off)}: results of earlier runs are not used"))
    findings += [
        note(f"{name}=true: {why}") for name, why in _UNTESTED_SWITCHES.items() if environ.get(name) == "true"
    ]
    return combined(findings, otherwise="nothing switches distribution off")


def settings(facts: Facts) -> Finding:
    """Whether the light client will understand its numbers."""
    findings = []
    for name, (least, most, unit) in NUMBERS.items():
        value = facts.environ.get(name, "").strip()
        if not value or (_NUMBER.fullmatch(value) and least <= float(value) <= most):
            continue
        limits = f" above 0 and up to {most:g}" if least > 0 else ""
        findings.append(
            problem(
                f"{name}={value!r} is not a number of {unit}{limits}: every nx-cloud command will refuse it",
                f"Correct {name} or unset it.",
            )
        )
    return combined(findings, otherwise="every number can be read")


def _no_token(facts: Facts) -> Finding:
    if not is_ours(facts):
        return not_checked("NX_CLOUD_ACCESS_TOKEN is not set, and there is no coordinator of nx-dte to ask")
    unprotected = facts.environ.get("CI_COMMIT_REF_PROTECTED") == "false"
    return problem(
        "NX_CLOUD_ACCESS_TOKEN is not set: Nx will not distribute, and the coordinator refuses this job",
        "Make it a masked CI/CD variable of the project"
        + (
            ". This branch is not protected: it sees no protected variables, so give it a read-only token of its own."
            if unprotected
            else "."
        ),
    )


def _judged(facts: Facts, asked: TokenFact, name: str) -> Finding:
    if asked.status == HTTPStatus.UNAUTHORIZED:
        return problem(
            f"the coordinator refuses {name}: {asked.words}",
            "Make a new one with `nx-dte coordinator token create`, and set it in the project's CI/CD variables.",
        )
    if asked.status != HTTPStatus.OK:
        return not_checked(asked.words or "the coordinator does not answer")
    access = (
        "whether it is read-only or read-write, the coordinator does not say"
        if asked.access is None
        else f"CI run {asked.ci_run_id} (attempt {asked.attempt}) of this pipeline was opened with a {asked.access} one"
    )
    both = {facts.environ.get(each, "").strip() for each in ("NX_CLOUD_AUTH_TOKEN", "NX_CLOUD_ACCESS_TOKEN")}
    if len(both - {""}) > 1:
        return note(
            f"{name} is accepted, and NX_CLOUD_ACCESS_TOKEN is another one that is not used",
            "Unset NX_CLOUD_AUTH_TOKEN.",
        )
    return ok(f"{name} is accepted; {access}")

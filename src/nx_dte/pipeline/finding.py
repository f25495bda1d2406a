"""What the lint can find, each with a stable code, what it means, and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nx_dte.pipeline.ci_job import CiJob
    from nx_dte.pipeline.located import Place

__all__ = ["FaultCode", "Finding", "Severity", "advice", "meaning"]


class Severity(StrEnum):
    """How bad a finding is."""

    FAULT = "fault"
    NOTE = "note"
    """Worth knowing; it does not change the exit code."""


class FaultCode(StrEnum):
    """Codes of findings. They are never renamed."""

    NO_MAIN = "no-main"
    NO_AGENTS = "no-agents"
    DIFFERENT_RULES = "different-rules"
    UNDECLARED_STAGE = "undeclared-stage"
    UNKNOWN_NAME = "unknown-name"
    START_ORDER = "start-order"
    RESOURCE_GROUP = "resource-group"
    SHARED_SLOTS = "shared-slots"
    SLOTS = "slots"
    UNCAPPED_AGENTS = "uncapped-agents"
    SHALLOW_CLONE = "shallow-clone"
    BASE_NOT_EXPORTED = "base-not-exported"
    BEFORE_SHA = "before-sha"
    BASE_TOO_EARLY = "base-too-early"
    EXIT_CODE_LOST = "exit-code-lost"
    AGENT_EXIT_CODES = "agent-exit-codes"
    AGENT_RETRY = "agent-retry"
    MAIN_RETRY = "main-retry"
    NO_GUARD = "no-guard"
    JOB_NAMES = "job-names"
    CACHE_PUSHERS = "cache-pushers"
    UNREAD_INCLUDE = "unread-include"


_TEXTS = {
    FaultCode.NO_MAIN: (
        "No job runs `nx-dte orchestrate` or `nx-cloud start-ci-run`, so nobody opens a CI run.",
        "Let one job run `nx-dte orchestrate -- nx affected …`. What a script file of yours runs, the lint cannot see.",
    ),
    FaultCode.NO_AGENTS: (
        "No job runs `nx-dte agent` or `nx-cloud start-agent`, so nothing is distributed.",
        "Add a job with `parallel: N` that runs `nx-dte agent`.",
    ),
    FaultCode.DIFFERENT_RULES: (
        "Guard, main and agents are not in the same pipelines: one waits for another that is not there.",
        "Give all of them the same `rules`, by `extends` or `!reference`, and no `only` or `except`.",
    ),
    FaultCode.UNDECLARED_STAGE: (
        "The job's stage is not in `stages`: GitLab refuses the file.",
        "Add it to `stages`.",
    ),
    FaultCode.UNKNOWN_NAME: (
        "`extends` or `!reference` names what is not there: GitLab refuses the file.",
        "Correct the name, or include the file that has it.",
    ),
    FaultCode.START_ORDER: (
        "Main and agents cannot run at the same time: one starts only when the other has ended.",
        "Put them into one stage, or give both the same `needs`.",
    ),
    FaultCode.RESOURCE_GROUP: (
        "`resource_group` lets one job of a project run at a time: agents wait for each other, main jobs for other pipelines.",
        "Leave it out.",
    ),
    FaultCode.SHARED_SLOTS: (
        "Main jobs and agents take the same slots: jobs of one kind can fill them all, and wait for the other kind.",
        "Give main and agents tags of their own, with runners for each.",
    ),
    FaultCode.SLOTS: (
        "There are fewer slots than the pipelines need at once.",
        "Change slots or agents as the sum says.",
    ),
    FaultCode.UNCAPPED_AGENTS: (
        "An agent whose main never comes holds its slot for an hour.",
        "Run `nx-dte agent`, or set NX_CLOUD_AGENT_TIMEOUT_MS (900000 is 15 minutes).",
    ),
    FaultCode.SHALLOW_CLONE: (
        "GitLab clones the newest commits only, and the base of a change may not be among them.",
        'Set GIT_DEPTH: "0", or run `nx-dte orchestrate`, which fetches what it needs.',
    ),
    FaultCode.BASE_NOT_EXPORTED: (
        "NX_BASE or NX_HEAD is set in the shell only: nx itself does not see it.",
        'Write `export`, or use `eval "$(nx-dte resolve-base)"`.',
    ),
    FaultCode.BEFORE_SHA: (
        "CI_COMMIT_BEFORE_SHA is all zeros in merge-request pipelines, on new branches and tags, and by hand.",
        'Use `nx-dte orchestrate`, which finds the base itself, or `eval "$(nx-dte resolve-base)"`.',
    ),
    FaultCode.BASE_TOO_EARLY: (
        "The shell replaces $NX_BASE before `nx-dte orchestrate` has found it: by nothing.",
        "Leave `--base` and `--head` out, because nx reads NX_BASE and NX_HEAD itself; or put them into single quotes.",
    ),
    FaultCode.EXIT_CODE_LOST: (
        "GitLab's runner makes 1 of the exit code of a script line, so what `nx-dte agent` ends with is never seen.",
        'Set the variable FF_USE_NEW_BASH_EVAL_STRATEGY: "true", or write `nx-dte agent || exit $?`.',
    ),
    FaultCode.AGENT_EXIT_CODES: (
        "An agent that ends with 75 (no coordinator), 76 (no main) or 77 (main has failed) fails the pipeline.",
        "Set `allow_failure: {exit_codes: [75, 76, 77]}`.",
    ),
    FaultCode.AGENT_RETRY: (
        "GitLab starts an agent again that has ended because main failed (77), or that cannot work (78).",
        "Let `retry` name 76 in `exit_codes`, and in `when` reasons of the infrastructure only.",
    ),
    FaultCode.MAIN_RETRY: (
        "GitLab starts a failed main job again by itself, and its agents have ended.",
        "Set `retry: 0`, or name reasons of the infrastructure only in `when`.",
    ),
    FaultCode.NO_GUARD: (
        "When somebody retries the main job alone, nothing tells it that its agents have ended.",
        "Add a job that runs `nx-dte guard record` to `needs`, and run `nx-dte orchestrate`; see rerun-guard.md.",
    ),
    FaultCode.JOB_NAMES: (
        "The rerun guard looks for main and agents by names that they do not have, or that other jobs have, too.",
        "Set NX_DTE_MAIN_JOB and NX_DTE_AGENT_JOB, for main and agents alike, or name the jobs otherwise.",
    ),
    FaultCode.CACHE_PUSHERS: (
        "Several jobs of a pipeline store the same cache: each uploads it, and the last one wins.",
        "Set `policy: pull` for all jobs but one.",
    ),
    FaultCode.UNREAD_INCLUDE: (
        "An `include` is not a file of this repository: what it holds was not looked at.",
        "Lint the merged file (`Full configuration` in GitLab's pipeline editor).",
    ),
}


def meaning(code: FaultCode) -> str:
    """What is wrong, for the table in the docs."""
    return _TEXTS[code][0]


def advice(code: FaultCode) -> str:
    """What to do."""
    return _TEXTS[code][1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One fault at one place, of one job or of several that share it."""

    code: FaultCode
    place: Place
    message: str
    """What stands there, and what comes of it."""
    jobs: tuple[str, ...] = ()
    """Empty: it is the file's."""
    severity: Severity = Severity.FAULT
    is_by_absence: bool = False
    """It rests on something that is not in the file; an include that was not read may have it."""

    @classmethod
    def of(
        cls, job: CiJob, code: FaultCode, message: str, *keys: str, severity: Severity = Severity.FAULT
    ) -> Finding:
        """A fault of a job, at the first of the keys that it has."""
        return cls(code=code, place=job.place_of(*keys), message=message, jobs=(job.name,), severity=severity)

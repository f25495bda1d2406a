"""What follows from the evidence. Pure: no clock, no network, no environment.

The best evidence wins: what GitLab's list of jobs says about who is still to come, then what the coordinator
remembers, then whether the asking job is a clone at all. docs/rerun-guard.md has the cases as tables.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nx_dte.model.run import CiRunState, RunOutcome
from nx_dte.rerun_guard import wording
from nx_dte.rerun_guard.evidence import Evidence, Mode, Role, RunEvidence
from nx_dte.rerun_guard.standing import Standing, is_clone, stand
from nx_dte.rerun_guard.verdict import Verdict, VerdictKind

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["SHORT_TIMEOUT_S", "decide", "mode_for"]

SHORT_TIMEOUT_S = 120.0
"""How long a job that runs again waits for the other side: a Retry starts both within this, if at all."""
_SUCCESS = "success"
_MANUAL = "manual"


def mode_for(evidence: Evidence, mode: Mode | None) -> Mode:
    """The mode asked for, or the one that fits: mirror where a coordinator of ours answers, strict elsewhere."""
    if mode is not None:
        return mode
    return Mode.STRICT if evidence.coordinator is None else Mode.MIRROR


def decide(evidence: Evidence, role: Role, mode: Mode | None = None) -> Verdict:
    """May this job start?"""
    mode = mode_for(evidence, mode)
    if mode is Mode.OFF:
        return Verdict(kind=VerdictKind.PROCEED, message="The rerun guard is off.")
    foreign = wording.foreign_guard(evidence)
    if foreign is not None:
        return _refuse(foreign, evidence.notes)
    standing = stand(evidence, role)
    if mode is Mode.STRICT and _knows_nothing(evidence, standing):
        return _refuse(wording.no_guard(evidence), evidence.notes)
    if role is Role.MAIN:
        return _decide_main(evidence, standing, mode)
    return _decide_agent(evidence, standing)


def _knows_nothing(evidence: Evidence, standing: Standing | None) -> bool:
    """Neither the guard's record, nor the jobs, nor a coordinator: nobody could notice a rerun."""
    return evidence.guard is None and standing is None and evidence.coordinator is None


# --------------------------------------------------------------------------------------------- main
def _decide_main(evidence: Evidence, standing: Standing | None, mode: Mode) -> Verdict:
    run = _run(evidence)
    if run is not None and run.state is CiRunState.OPEN and run.agents_live > 0:
        return _proceed(wording.adopts(run), evidence.notes)
    if standing is not None and standing.agents:
        return _decide_main_by_jobs(evidence, standing, mode)
    notes = evidence.notes if standing is None else (*evidence.notes, wording.no_agents_named(evidence))
    clone = is_clone(evidence, standing)
    if not clone and not _has_run_before(run):
        message = wording.FIRST_RUN if clone is False or evidence.coordinator is not None else wording.UNKNOWN
        return _proceed(message, notes)
    if mode is Mode.STRICT:
        return _refuse(wording.main_again(evidence, run), notes)
    return _proceed(wording.main_again_mirrored(evidence, run), notes, join_timeout_s=SHORT_TIMEOUT_S)


def _decide_main_by_jobs(evidence: Evidence, standing: Standing, mode: Mode) -> Verdict:
    """Agents that are still to come decide. Strict asks that one of them is of main's attempt, or a later one."""
    attempt = standing.own_attempt or 1
    live = standing.live_agents
    if not live:
        if mode is Mode.STRICT:
            return _refuse(wording.agents_ended(evidence, standing), evidence.notes)
        return _proceed(wording.runs_alone(standing), evidence.notes, join_timeout_s=0.0)
    if mode is Mode.STRICT and all(agent.attempt < attempt for agent in live):
        return _refuse(wording.agents_are_older(evidence, standing), evidence.notes)
    return _proceed(wording.agents_to_come(live), evidence.notes)


def _has_run_before(run: RunEvidence | None) -> bool:
    """Whether another main job had this CI run, and its agents are gone. It has not been opened by the asking job."""
    if run is None:
        return False
    return run.state is not CiRunState.OPEN or (run.agents_joined > 0 and run.agents_live == 0)


# -------------------------------------------------------------------------------------------- agent
def _decide_agent(evidence: Evidence, standing: Standing | None) -> Verdict:
    run = _run(evidence)
    if run is not None and run.state.is_over:
        return _decide_agent_of_ended(evidence, run, standing)
    if run is not None:
        return _proceed(wording.run_waits(run), evidence.notes)
    main = None if standing is None else standing.main
    if main is not None and not main.is_live and main.job.status != _MANUAL:
        if main.job.status == _SUCCESS:
            return _leave(VerdictKind.NOTHING_TO_DO, wording.main_succeeded(main), evidence.notes)
        return _leave(VerdictKind.MIRROR, wording.main_failed(main), evidence.notes)
    notes = evidence.notes
    if standing is not None and main is None:
        notes = (*notes, wording.no_main_named(evidence))
    if main is None and is_clone(evidence, standing):
        return _proceed(wording.AGENT_AGAIN, notes, main_timeout_s=SHORT_TIMEOUT_S)
    return _proceed(wording.waits_for_main(main), notes)


def _decide_agent_of_ended(evidence: Evidence, run: RunEvidence, standing: Standing | None) -> Verdict:
    """A newer main may be on its way: after GitLab's Retry, cloned agents can be here before the cloned main."""
    has_succeeded = run.outcome is RunOutcome.SUCCEEDED
    main = None if standing is None else standing.main
    ended = VerdictKind.NOTHING_TO_DO if has_succeeded else VerdictKind.MIRROR
    if main is not None and main.is_live and main.attempt > run.attempt:
        return Verdict(
            kind=VerdictKind.PROCEED,
            message=wording.newer_main(main, run),
            notes=evidence.notes,
            after_attempt=run.attempt,
            otherwise=ended,
        )
    if has_succeeded or (main is not None and main.job.status == _SUCCESS):
        return _leave(VerdictKind.NOTHING_TO_DO, wording.run_succeeded(run), evidence.notes)
    if main is not None:
        return _leave(VerdictKind.MIRROR, wording.run_failed(run), evidence.notes)
    return Verdict(
        kind=VerdictKind.PROCEED,
        message=wording.perhaps_newer_main(run, SHORT_TIMEOUT_S),
        notes=evidence.notes,
        main_timeout_s=SHORT_TIMEOUT_S,
        after_attempt=run.attempt,
        otherwise=ended,
    )


# ------------------------------------------------------------------------------------------- pieces
def _run(evidence: Evidence) -> RunEvidence | None:
    return None if evidence.coordinator is None else evidence.coordinator.run


def _proceed(
    message: str,
    notes: Iterable[str],
    *,
    join_timeout_s: float | None = None,
    main_timeout_s: float | None = None,
) -> Verdict:
    return Verdict(
        kind=VerdictKind.PROCEED,
        message=message,
        notes=tuple(notes),
        join_timeout_s=join_timeout_s,
        main_timeout_s=main_timeout_s,
    )


def _leave(kind: VerdictKind, message: str, notes: Iterable[str]) -> Verdict:
    return Verdict(kind=kind, message=message, notes=tuple(notes))


def _refuse(message: str, notes: Iterable[str]) -> Verdict:
    return Verdict(kind=VerdictKind.REFUSE, message=message, notes=tuple(notes))

"""The guard's cases as a table: what is known, who asks, and what follows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from nx_dte.gitlab import PipelineJob
from nx_dte.model.run import CiRunState, RunOutcome
from nx_dte.rerun_guard import (
    CoordinatorEvidence,
    Evidence,
    GuardRecord,
    Mode,
    PipelineShape,
    Role,
    Verdict,
    VerdictKind,
    decide,
)
from nx_dte.rerun_guard.evidence import RunEvidence

PROCEED, NOTHING, MIRROR, REFUSE = (
    VerdictKind.PROCEED,
    VerdictKind.NOTHING_TO_DO,
    VerdictKind.MIRROR,
    VerdictKind.REFUSE,
)
GUARD_STARTED = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
GUARD = GuardRecord(pipeline_id="70", guard_job_id="100", guard_started_at=GUARD_STARTED, sha="c0ffee")
ORIGINAL = GUARD_STARTED - timedelta(seconds=3)
CLONE = GUARD_STARTED + timedelta(minutes=5)
KNOWN = Evidence(
    pipeline_id="70", job_id="101", job_name="nx-dte", sha="c0ffee", guard=GUARD, created_at=ORIGINAL
)


def jobs(*stated: tuple[int, str, str]) -> tuple[PipelineJob, ...]:
    """Jobs of the pipeline, the guard among them."""
    return (
        PipelineJob(job_id=100, name="nx-rerun-guard", status="success"),
        *(PipelineJob(job_id=number, name=name, status=status) for number, name, status in stated),
    )


def main(**changes: object) -> Evidence:
    return replace(KNOWN, **changes)  # type: ignore[arg-type]


def agent(**changes: object) -> Evidence:
    return replace(KNOWN, **{"job_id": "102", "job_name": "nx-dte-agent 1/2", **changes})  # type: ignore[arg-type]


def run(
    state: CiRunState,
    outcome: RunOutcome | None = None,
    *,
    joined: int = 2,
    live: int = 0,
    attempt: int = 1,
) -> CoordinatorEvidence:
    return CoordinatorEvidence(
        run=RunEvidence(
            ci_run_id="RUN",
            attempt=attempt,
            state=state,
            outcome=outcome,
            agents_joined=joined,
            agents_live=live,
        )
    )


NO_RUN = CoordinatorEvidence(run=None)
OPEN = run(CiRunState.OPEN, live=2)
FAILED = run(CiRunState.FINISHED, RunOutcome.FAILED)
SUCCEEDED = run(CiRunState.FINISHED, RunOutcome.SUCCEEDED)
ABANDONED = run(CiRunState.ABANDONED, RunOutcome.FAILED)

AGENT_1, AGENT_2 = "nx-dte-agent 1/2", "nx-dte-agent 2/2"
FIRST_RUN = jobs((101, "nx-dte", "running"), (102, AGENT_1, "running"), (103, AGENT_2, "pending"))
ONLY_MAIN_AGAIN = jobs(
    (101, "nx-dte", "failed"),
    (102, AGENT_1, "success"),
    (103, AGENT_2, "success"),
    (110, "nx-dte", "running"),
)
ALL_AGAIN = jobs(
    (101, "nx-dte", "failed"),
    (102, AGENT_1, "failed"),
    (103, AGENT_2, "failed"),
    (110, "nx-dte", "pending"),
    (111, AGENT_1, "running"),
    (112, AGENT_2, "created"),
)
MAIN_AGAIN_AGENTS_STILL_THERE = jobs(
    (101, "nx-dte", "failed"),
    (102, AGENT_1, "running"),
    (103, AGENT_2, "success"),
    (110, "nx-dte", "running"),
)
AGENT_AGAIN_MAIN_RUNS = jobs(
    (101, "nx-dte", "running"), (102, AGENT_1, "failed"), (103, AGENT_2, "running"), (110, AGENT_1, "running")
)
AGENTS_GAVE_UP = jobs((101, "nx-dte", "running"), (102, AGENT_1, "failed"), (103, AGENT_2, "failed"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row."""

    what: str
    role: Role
    evidence: Evidence
    strict: VerdictKind
    mirror: VerdictKind
    join: float | None = None
    """Main's join timeout where it goes on in mirror mode."""
    main: float | None = None
    """An agent's main timeout where it goes on."""
    after: int | None = None
    words: str = ""


def m(
    what: str,
    evidence: Evidence,
    strict: VerdictKind,
    mirror: VerdictKind,
    join: float | None = None,
    words: str = "",
) -> Case:
    return Case(
        what=what, role=Role.MAIN, evidence=evidence, strict=strict, mirror=mirror, join=join, words=words
    )


def a(
    what: str,
    evidence: Evidence,
    verdict: VerdictKind,
    main: float | None = None,
    after: int | None = None,
    words: str = "",
) -> Case:
    return Case(
        what=what,
        role=Role.AGENT,
        evidence=evidence,
        strict=verdict,
        mirror=verdict,
        main=main,
        after=after,
        words=words,
    )


AGAIN = {"job_id": "110"}
MAIN_CASES = [
    # only what GitLab injects
    m("an original", main(), PROCEED, PROCEED),
    m("an original that waited for hours", main(created_at=ORIGINAL), PROCEED, PROCEED),
    m("a clone", main(**AGAIN, created_at=CLONE), REFUSE, PROCEED, 120, "Only a part of this pipeline"),
    m("made in the second the guard began", main(created_at=GUARD_STARTED), PROCEED, PROCEED),
    m("made in that second, as GitLab's finer clock has it", main(created_at=GUARD_STARTED + timedelta(milliseconds=900)), PROCEED, PROCEED),
    m("made in the next second", main(created_at=GUARD_STARTED + timedelta(seconds=1)), REFUSE, PROCEED, 120),
    m("the guard's record is of another pipeline", main(guard=replace(GUARD, pipeline_id="69")), REFUSE, REFUSE, words="pipeline 69"),
    m("the guard's record is of another commit", main(guard=replace(GUARD, sha="bad")), REFUSE, REFUSE, words="commit bad"),
    m("GitLab does not answer", main(created_at=None), PROCEED, PROCEED),
    m("no guard's record, nobody to ask", main(guard=None), REFUSE, PROCEED, words="nx-dte guard record"),
    m("neither record nor list, and it was retried", main(guard=None, created_at=CLONE), REFUSE, PROCEED),
    m("no guard's record, but the list", main(guard=None, jobs=FIRST_RUN), PROCEED, PROCEED),
    m("no guard's record, but the coordinator", main(guard=None, coordinator=NO_RUN), PROCEED, PROCEED),
    m("the guard's record does not say when", main(guard=replace(GUARD, guard_started_at=None)), PROCEED, PROCEED),
    # the list of jobs: who is still to come decides
    m("first run", main(jobs=FIRST_RUN), PROCEED, PROCEED),
    m("retried alone", main(**AGAIN, created_at=CLONE, jobs=ONLY_MAIN_AGAIN), REFUSE, PROCEED, 0, "#102"),
    m("pipeline Retry, agents cloned too", main(**AGAIN, created_at=CLONE, jobs=ALL_AGAIN), PROCEED, PROCEED),
    m("auto-retried, agents of the first attempt live", main(**AGAIN, created_at=CLONE, jobs=MAIN_AGAIN_AGENTS_STILL_THERE), REFUSE, PROCEED, words="from attempt 1"),
    m("an agent was retried", main(jobs=AGENT_AGAIN_MAIN_RUNS), PROCEED, PROCEED),
    m("all agents gave up before it came", main(jobs=AGENTS_GAVE_UP), REFUSE, PROCEED, 0, "retry jobs #102 #103"),
    m("the guard was retried, too: the list knows better", main(**AGAIN, jobs=ONLY_MAIN_AGAIN), REFUSE, PROCEED, 0),
    m("no agents of that name", main(jobs=jobs((101, "nx-dte", "running"), (102, "helper", "running"))), PROCEED, PROCEED),
    m("a clone, no agents of that name", main(**AGAIN, jobs=jobs((101, "nx-dte", "failed"), (110, "nx-dte", "running"))), REFUSE, PROCEED, 120),
    # the coordinator
    m("no run yet", main(coordinator=NO_RUN), PROCEED, PROCEED),
    m("a clone of one that never opened a run", main(**AGAIN, created_at=CLONE, coordinator=NO_RUN), REFUSE, PROCEED, 120),
    m("agents of the run live: taken over", main(**AGAIN, created_at=CLONE, coordinator=OPEN), PROCEED, PROCEED),
    m("the same with the list", main(**AGAIN, coordinator=OPEN, jobs=MAIN_AGAIN_AGENTS_STILL_THERE), PROCEED, PROCEED),
    m("the run has ended", main(**AGAIN, created_at=CLONE, coordinator=FAILED), REFUSE, PROCEED, 120, "2 agents have ended"),
    m("the run was abandoned", main(**AGAIN, created_at=CLONE, coordinator=ABANDONED), REFUSE, PROCEED, 120),
    m("the run has ended, agents were cloned", main(**AGAIN, coordinator=FAILED, jobs=ALL_AGAIN), PROCEED, PROCEED),
    m("the run has ended, agents were not cloned", main(**AGAIN, coordinator=FAILED, jobs=ONLY_MAIN_AGAIN), REFUSE, PROCEED, 0),
    m("open, its agents have ended", main(**AGAIN, created_at=CLONE, coordinator=run(CiRunState.OPEN)), REFUSE, PROCEED, 120),
    m("the same where GitLab says nothing", main(**AGAIN, created_at=None, coordinator=run(CiRunState.OPEN)), REFUSE, PROCEED, 120),
    m("open by another main, agents still to come", main(coordinator=run(CiRunState.OPEN, joined=0)), PROCEED, PROCEED),
    m("the run is stopping", main(coordinator=run(CiRunState.STOPPING, live=1)), REFUSE, PROCEED, 120),
    m("random ids as in gitlab-ci-local, first", main(job_id="777", created_at=None, coordinator=NO_RUN), PROCEED, PROCEED),
    m("random ids as in gitlab-ci-local, again", main(job_id="12", created_at=None, coordinator=SUCCEEDED), REFUSE, PROCEED, 120, "pipeline 70"),
    m("guard and main retried by hand", main(**AGAIN, created_at=ORIGINAL, coordinator=FAILED), REFUSE, PROCEED, 120),
]  # fmt: skip

AGENT_CASES = [
    # what GitLab injects
    a("an original", agent(), PROCEED),
    a("a clone", agent(created_at=CLONE), PROCEED, 120),
    a("the guard's record is of another pipeline", agent(guard=replace(GUARD, pipeline_id="69")), REFUSE),
    a("GitLab does not answer", agent(created_at=None), PROCEED),
    # the list of jobs
    a("first run", agent(jobs=FIRST_RUN), PROCEED),
    a("auto-retried while main runs", agent(job_id="110", created_at=CLONE, jobs=AGENT_AGAIN_MAIN_RUNS), PROCEED),
    a("pipeline Retry, main is pending", agent(job_id="111", created_at=CLONE, jobs=ALL_AGAIN), PROCEED),
    a("main has succeeded", agent(job_id="110", jobs=jobs((101, "nx-dte", "success"), (102, AGENT_1, "success"), (110, AGENT_1, "running"))), NOTHING),
    a("main has failed", agent(jobs=jobs((101, "nx-dte", "failed"), (102, AGENT_1, "running"))), MIRROR, words="Retry"),
    a("main was cancelled", agent(jobs=jobs((101, "nx-dte", "canceled"), (102, AGENT_1, "running"))), MIRROR),
    a("main was skipped", agent(jobs=jobs((101, "nx-dte", "skipped"), (102, AGENT_1, "running"))), MIRROR),
    a("main waits for somebody to press play", agent(jobs=jobs((101, "nx-dte", "manual"), (102, AGENT_1, "running"))), PROCEED),
    a("no main of that name", agent(created_at=CLONE, jobs=jobs((101, "boss", "running"), (102, AGENT_1, "failed"))), PROCEED),
    # the coordinator
    a("no run yet", agent(coordinator=NO_RUN), PROCEED),
    a("a clone, no run yet", agent(created_at=CLONE, coordinator=NO_RUN), PROCEED, 120),
    a("a run to join", agent(coordinator=OPEN), PROCEED),
    a("a clone joins main's run", agent(created_at=CLONE, coordinator=OPEN), PROCEED),
    a("the run is stopping", agent(coordinator=run(CiRunState.STOPPING)), PROCEED),
    a("the run has succeeded", agent(coordinator=SUCCEEDED), NOTHING),
    a("the run has failed, a cloned main may come", agent(coordinator=FAILED), PROCEED, 120, 1, "up to 120 s"),
    a("the run was abandoned, a cloned main may come", agent(coordinator=ABANDONED), PROCEED, 120, 1),
    a("the run has failed, a cloned main will come", agent(job_id="111", coordinator=FAILED, jobs=ALL_AGAIN), PROCEED, None, 1),
    a("the run has succeeded, a cloned main will come", agent(job_id="111", coordinator=SUCCEEDED, jobs=ALL_AGAIN), PROCEED, None, 1),
    a("the run has failed, main's job is ending", agent(coordinator=FAILED, jobs=FIRST_RUN), MIRROR),
    a("the run has succeeded, main's job is ending", agent(coordinator=SUCCEEDED, jobs=FIRST_RUN), NOTHING),
    a("the run has failed, GitLab counts main as green", agent(coordinator=FAILED, jobs=jobs((101, "nx-dte", "success"), (102, AGENT_1, "running"))), NOTHING),
    a("retried alone after main failed", agent(job_id="110", coordinator=FAILED, jobs=jobs((101, "nx-dte", "failed"), (102, AGENT_1, "failed"), (110, AGENT_1, "running"))), MIRROR),
]  # fmt: skip
CASES = MAIN_CASES + AGENT_CASES


def check_row(case: Case, mode: Mode, wanted: VerdictKind) -> Verdict:
    verdict = decide(case.evidence, case.role, mode)
    assert verdict.kind is wanted, verdict.message
    assert verdict.exit_code == {PROCEED: 0, NOTHING: 0, MIRROR: 77, REFUSE: 78}[wanted]
    if wanted is not PROCEED:
        assert (verdict.join_timeout_s, verdict.main_timeout_s, verdict.after_attempt) == (None, None, None)
    return verdict


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.role.value}: {case.what}")
def test_strict(case: Case) -> None:
    verdict = check_row(case, Mode.STRICT, case.strict)
    assert verdict.join_timeout_s is None, "strict never lets main run alone unasked"


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.role.value}: {case.what}")
def test_mirror(case: Case) -> None:
    verdict = check_row(case, Mode.MIRROR, case.mirror)
    assert (verdict.join_timeout_s, verdict.main_timeout_s, verdict.after_attempt) == (
        case.join,
        case.main,
        case.after,
    )


@pytest.mark.parametrize("case", [case for case in CASES if case.words], ids=lambda case: case.what)
def test_what_it_says(case: Case) -> None:
    mode = Mode.STRICT if case.strict is REFUSE else Mode.MIRROR
    assert case.words in decide(case.evidence, case.role, mode).message


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.role.value}: {case.what}")
def test_off_lets_everything_start(case: Case) -> None:
    assert decide(case.evidence, case.role, Mode.OFF).kind is PROCEED


@pytest.mark.parametrize(
    "case", [case for case in MAIN_CASES if case.strict is REFUSE], ids=lambda case: case.what
)
def test_a_refusal_says_what_can_really_be_done(case: Case) -> None:
    message = decide(case.evidence, case.role, Mode.STRICT).message
    assert "all jobs" not in message, "GitLab has no such button"
    assert any(advice in message for advice in ("New pipeline", "guard job", "Remove it")), message


def test_without_a_mode_it_is_mirror_with_a_coordinator_of_ours_and_strict_elsewhere() -> None:
    again = main(**AGAIN, created_at=CLONE)
    assert decide(again, Role.MAIN).kind is REFUSE
    assert decide(replace(again, coordinator=FAILED), Role.MAIN).kind is PROCEED


def test_an_agent_of_an_ended_run_ends_as_main_did_when_no_newer_main_comes() -> None:
    failed = decide(agent(job_id="111", coordinator=FAILED, jobs=ALL_AGAIN), Role.AGENT)
    succeeded = decide(agent(job_id="111", coordinator=SUCCEEDED, jobs=ALL_AGAIN), Role.AGENT)
    assert (failed.otherwise, succeeded.otherwise) == (MIRROR, NOTHING)


def test_agents_of_other_names_and_numbered_by_hand() -> None:
    recipe = jobs(
        (101, "nx-dte", "running"), (102, "nx-dte-agent1", "running"), (103, "nx-dte-agent2", "created")
    )
    assert decide(main(jobs=recipe), Role.MAIN, Mode.STRICT).kind is PROCEED
    other = jobs(
        (101, "nx-dte", "running"), (102, "helper: [arm]", "success"), (103, "helper: [x86]", "success")
    )
    shape = PipelineShape(agent="helper")
    assert decide(main(jobs=other, shape=shape), Role.MAIN, Mode.STRICT).kind is REFUSE


def test_of_several_main_jobs_a_live_one_counts() -> None:
    shape = PipelineShape(main="nx-dte-*", agent="nx-dte-agent")
    mains = jobs(
        (101, "nx-dte-web", "running"), (102, "nx-dte-agent", "running"), (103, "nx-dte-api", "failed")
    )
    asking = agent(job_name="nx-dte-agent", jobs=mains, shape=shape)
    assert decide(asking, Role.AGENT, Mode.STRICT).kind is PROCEED


def test_a_name_that_fits_both_is_a_main_jobs() -> None:
    assert PipelineShape(main="nx-dte", agent="nx-dte*").is_main("nx-dte")
    assert not PipelineShape(main="nx-dte", agent="nx-dte*").is_agent("nx-dte")


def test_the_asking_job_is_what_it_says_whatever_its_name() -> None:
    named = jobs((101, "affected", "running"), (102, "nx-dte-agent", "running"))
    assert decide(main(job_name="affected", jobs=named), Role.MAIN, Mode.STRICT).kind is PROCEED


def test_a_manual_agent_counts_as_to_come_only_where_agents_are_lazy() -> None:
    manual = main(jobs=jobs((101, "nx-dte", "running"), (102, AGENT_1, "manual")))
    assert decide(manual, Role.MAIN, Mode.STRICT).kind is REFUSE
    lazy = replace(manual, shape=PipelineShape(has_lazy_agents=True))
    assert decide(lazy, Role.MAIN, Mode.STRICT).kind is PROCEED


def test_what_could_not_be_found_out_is_passed_on() -> None:
    assert decide(main(notes=("GitLab was silent",)), Role.MAIN).notes == ("GitLab was silent",)


def test_an_agent_without_anything_to_go_by() -> None:
    nothing = agent(guard=None)
    assert decide(nothing, Role.AGENT, Mode.STRICT).kind is REFUSE
    assert decide(nothing, Role.AGENT, Mode.MIRROR).kind is PROCEED


def test_a_job_without_an_id_is_named_without_one() -> None:
    verdict = decide(main(job_id=None, created_at=None, coordinator=FAILED), Role.MAIN)
    assert "another main job before job `nx-dte` has had CI run RUN" in verdict.message

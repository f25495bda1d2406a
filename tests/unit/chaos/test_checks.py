"""Each check finds what it is there for, and nothing in a good round."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Any

import pytest

from tests.chaos.checks import FindingKind, check, notes
from tests.chaos.observed import JobEnd, MainEnd, Observed, StoredRun
from tests.chaos.plain import PlainRun
from tests.chaos.schedule import draw, keep_only
from tests.support.nx_results import TaskResult

RESULTS = {name: TaskResult(hash=f"h-{name}", code=0, is_hit=False) for name in ("a:build", "b:test")}
PLAIN = PlainRun(code=0, results=RESULTS, outputs={"a:build": "built", "b:test": "tested"}, tree={})
EVENT: MappingProxyType[str, Any] = MappingProxyType(
    {"invocation_id": None, "task_id": None, "attempt": None, "result": None, "agent_name": None}
)


def events(*kinds: str, task_id: str | None = None, first: int = 1) -> list[dict[str, Any]]:
    """Events in order; `task_leased` is of attempt 1, then 2, and so on."""
    made, attempt = [], 0
    for sequence, kind in enumerate(kinds, first):
        attempt += kind == "task_leased"
        result = {"outcome": "succeeded"} if kind == "task_finished" else None
        own = {"sequence": sequence, "kind": kind, "attempt": attempt or None, "result": result}
        place = {"task_id": task_id, "invocation_id": task_id and "i"}
        made.append({**EVENT, **own, **place})
    return made


def task(task_id: str, outcome: str | None = "succeeded") -> dict[str, Any]:
    state = "finished" if outcome else "leased"
    return {"invocation_id": "i", "task_id": task_id, "state": state, "outcome": outcome, "attempt": 1}


def good() -> Observed:
    """A round in which everything went well."""
    story = events(
        "task_ready", "task_leased", "task_requeued", "task_leased", "task_finished", task_id="a:build"
    )
    other = events("task_ready", "task_leased", "task_finished", task_id="b:test", first=6)
    stored = StoredRun(
        ci_run={"state": "finished", "outcome": "succeeded", "reason": None},
        tasks=[task("a:build"), task("b:test")],
        events=[*story, *other],
    )
    job = JobEnd(name="main", code=0, duration_s=20, log="", was_ended=False)
    return Observed(
        scenario=keep_only(draw(1, 1), ()),
        plain=PLAIN,
        main=job,
        agents=[replace(job, name="agent-1")],
        left_by_main=MainEnd(results=dict(RESULTS), outputs=dict(PLAIN.outputs), file_differences=[]),
        stored=stored,
        told=stored.events[:4],
        visible_to_read_write={},
        coordinator_code=0,
        leftovers=[],
        harness_errors=[],
    )


def kinds(seen: Observed) -> set[FindingKind]:
    return {finding.kind for finding in check(seen)}


def with_events(seen: Observed, told: list[dict[str, Any]]) -> Observed:
    assert seen.stored is not None
    return replace(seen, told=[], stored=replace(seen.stored, events=told))


def with_run(seen: Observed, **changes: object) -> Observed:
    assert seen.stored is not None
    return replace(seen, stored=replace(seen.stored, ci_run=seen.stored.ci_run | changes))


def with_main(seen: Observed, **changes: Any) -> Observed:
    return replace(seen, main=replace(seen.main, **changes))


def with_files(seen: Observed, **changes: Any) -> Observed:
    return replace(seen, left_by_main=replace(seen.left_by_main, **changes))


def test_a_good_round_has_no_findings() -> None:
    assert check(good()) == []
    assert notes(good()) == ["1 later attempts, up to 2"]


def test_who_does_not_end_hangs() -> None:
    assert kinds(with_main(good(), code=None)) == {FindingKind.HANG}
    seen = good()
    assert kinds(replace(seen, agents=[replace(seen.agents[0], code=None)])) == {FindingKind.HANG}
    assert kinds(with_run(seen, state="open")) == {FindingKind.HANG}
    assert kinds(replace(seen, coordinator_code=None)) == {FindingKind.HANG}


def test_an_unfinished_task_of_an_ended_run_hangs() -> None:
    seen = good()
    assert seen.stored is not None
    left = replace(seen.stored, tasks=[task("a:build"), task("b:test", None)], events=seen.stored.events[:7])
    assert kinds(replace(seen, stored=left, told=[])) == {FindingKind.HANG}


@pytest.mark.parametrize(
    "results",
    [
        {"a:build": RESULTS["a:build"]},
        {**RESULTS, "b:test": replace(RESULTS["b:test"], code=1)},
    ],
    ids=["a result is missing", "a task failed"],
)
def test_green_without_a_success_of_every_task(results: dict[str, TaskResult]) -> None:
    assert FindingKind.WRONG_GREEN in kinds(with_files(good(), results=results))


def test_green_where_plain_nx_is_red() -> None:
    assert FindingKind.WRONG_GREEN in kinds(replace(good(), plain=replace(PLAIN, code=1)))


def test_red_where_plain_nx_is_green() -> None:
    assert kinds(with_main(good(), code=1)) == {FindingKind.WRONG_RED}


def test_another_red_than_plain_nx() -> None:
    seen = with_main(replace(good(), plain=replace(PLAIN, code=1)), code=2)
    assert kinds(seen) == {FindingKind.DIFFERENCE}


def test_a_killed_mains_colour_is_nobodys_but_its_run_is_not_green() -> None:
    seen = with_main(good(), code=-9, was_ended=True)
    assert check(seen) == []
    assert seen.stored is not None
    bad = replace(seen.stored, tasks=[task("a:build"), task("b:test", "cancelled")])
    assert FindingKind.WRONG_GREEN in kinds(replace(seen, stored=bad))
    assert FindingKind.WRONG_GREEN not in kinds(with_run(replace(seen, stored=bad), outcome="failed"))


@pytest.mark.parametrize(
    "changes",
    [
        {"outputs": {**PLAIN.outputs, "a:build": "other"}},
        {"file_differences": ["dist/a: expected file, found nothing"]},
        {"results": {**RESULTS, "a:build": replace(RESULTS["a:build"], hash="other")}},
    ],
    ids=["terminal output", "files", "hash"],
)
def test_what_is_not_as_with_plain_nx(changes: dict[str, Any]) -> None:
    assert kinds(with_files(good(), **changes)) == {FindingKind.DIFFERENCE}


def test_whether_a_task_was_a_hit_may_differ() -> None:
    hit = {**RESULTS, "a:build": replace(RESULTS["a:build"], is_hit=True)}
    assert check(with_files(good(), results=hit)) == []


def test_what_was_told_must_stay() -> None:
    seen = good()
    changed = {**seen.told[2], "attempt": 9}
    assert kinds(replace(seen, told=[*seen.told[:2], changed])) == {FindingKind.LOST_RESULT}
    gone = {**seen.told[0], "sequence": 99}
    assert kinds(replace(seen, told=[gone])) == {FindingKind.LOST_RESULT}


def test_a_task_that_is_given_out_after_its_end_lost_its_result() -> None:
    story = events("task_leased", "task_finished", "task_leased", task_id="a:build")
    other = events("task_leased", "task_finished", task_id="b:test", first=4)
    assert FindingKind.LOST_RESULT in kinds(with_events(good(), [*story, *other]))


@pytest.mark.parametrize(
    "story",
    [
        ("task_leased", "task_finished", "task_finished"),
        ("task_leased",),
        ("task_ready", "task_finished"),
    ],
    ids=["finished twice", "never finished", "succeeded though nobody ran it"],
)
def test_a_story_that_contradicts_itself(story: tuple[str, ...]) -> None:
    other = events("task_leased", "task_finished", task_id="b:test", first=len(story) + 1)
    seen = with_events(good(), [*events(*story, task_id="a:build"), *other])
    assert kinds(seen) == {FindingKind.INCONSISTENCY}


def test_an_attempt_that_is_given_out_twice_contradicts_itself() -> None:
    story = events("task_leased", "task_leased", "task_finished", task_id="a:build")
    for event in story:
        event["attempt"] = 1
    other = events("task_leased", "task_finished", task_id="b:test", first=4)
    assert kinds(with_events(good(), [*story, *other])) == {FindingKind.INCONSISTENCY}


def test_a_gap_in_the_events() -> None:
    seen = good()
    assert seen.stored is not None
    kept = [event for event in seen.stored.events if event["sequence"] != 3]
    assert kinds(with_events(seen, kept)) == {FindingKind.INCONSISTENCY}


def test_an_agent_that_nobody_ended_ends_in_order() -> None:
    seen = good()
    dead = replace(seen.agents[0], code=1)
    assert kinds(replace(seen, agents=[dead])) == {FindingKind.BAD_END}
    assert check(replace(seen, agents=[replace(dead, was_ended=True)])) == []


def test_a_coordinator_that_is_told_to_end_ends_in_order() -> None:
    assert kinds(replace(good(), coordinator_code=1)) == {FindingKind.BAD_END}


def test_a_read_only_runs_entries_are_its_own() -> None:
    seen = replace(good(), visible_to_read_write={"h-a:build": {}})
    read_write = replace(seen.scenario, is_read_only=False)
    assert check(replace(seen, scenario=read_write)) == []
    assert kinds(replace(seen, scenario=replace(read_write, is_read_only=True))) == {FindingKind.LEAK}


def test_what_is_left_and_what_the_harness_could_not_do_is_told() -> None:
    seen = replace(good(), leftovers=["process 7"], harness_errors=["no"])
    assert kinds(seen) == {FindingKind.LEFTOVER, FindingKind.HARNESS}

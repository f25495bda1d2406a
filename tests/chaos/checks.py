"""The promises, one check each. Pure: evidence in, findings out."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.observed import JobEnd, Observed, StoredRun

__all__ = ["Finding", "FindingKind", "check", "notes"]

ENDED = frozenset({"finished", "abandoned"})
GOOD = frozenset({"succeeded", "cached"})
ALONE = "run in this job instead of on agents"
HERE = "this command runs here, not on agents"


class FindingKind(StrEnum):
    """Which promise was broken."""

    HANG = "hang"
    """Something did not end within its deadline."""
    WRONG_GREEN = "wrong green"
    """Main ended with 0, and not every requested task has a success or a valid hit."""
    WRONG_RED = "wrong red"
    """Main ended otherwise where plain nx ends with 0."""
    LOST_RESULT = "lost result"
    """Something that was accepted or told is gone, or was done again."""
    DIFFERENCE = "difference"
    """Exit code, files, statuses or terminal output are not those of plain nx."""
    INCONSISTENCY = "inconsistency"
    """The story of a task contradicts itself."""
    LEAK = "leak"
    """An untrusted run's result can be seen by a trusted one."""
    LEFTOVER = "leftover"
    """A process or a file outlived the round."""
    BAD_END = "bad end"
    """An agent that nobody ended did not end in order."""
    HARNESS = "harness error"
    """The round could not be judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One broken promise, in words."""

    kind: FindingKind
    text: str

    def __str__(self) -> str:
        return f"{self.kind.upper()}: {self.text}"


def check(seen: Observed) -> list[Finding]:
    """Everything that is wrong with a round."""
    found = [
        *_hangs(seen),
        *_coordinator_end(seen),
        *_colour(seen),
        *_likeness(seen),
        *_agents(seen),
        *_leaks(seen),
        *(Finding(kind=FindingKind.LEFTOVER, text=text) for text in seen.leftovers),
        *(Finding(kind=FindingKind.HARNESS, text=text) for text in seen.harness_errors),
    ]
    if seen.stored is not None:
        found += [*_run_end(seen, seen.stored), *_forgotten(seen, seen.stored), *_stories(seen.stored)]
    return found


def notes(seen: Observed) -> list[str]:
    """What is worth knowing and no broken promise."""
    said = [line.strip() for line in seen.main.log.split("\n") if ALONE in line or HERE in line]
    if seen.stored is not None:
        events = seen.stored.events
        attempts = [event["attempt"] for event in events if event["kind"] == "task_leased"]
        lost = [event["agent_name"] for event in events if event["kind"] == "agent_lost"]
        refused = sum(event["kind"] == "report_refused" for event in events)
        if attempts and max(attempts) > 1:
            said.append(f"{sum(attempt > 1 for attempt in attempts)} later attempts, up to {max(attempts)}")
        if lost:
            said.append(f"taken for lost: {', '.join(lost)}")
        if refused:
            said.append(f"{refused} reports refused")
        if seen.stored.ci_run["state"] == "abandoned":
            said.append(f"the run was abandoned ({seen.stored.ci_run['reason']})")
    return said


# ------------------------------------------------------------------------------------------------ 2: it ends
def _hangs(seen: Observed) -> Iterator[Finding]:
    for job in (seen.main, *seen.agents):
        if job.code is None:
            yield Finding(kind=FindingKind.HANG, text=f"{job.name} did not end within {job.duration_s:.0f} s")


def _coordinator_end(seen: Observed) -> Iterator[Finding]:
    if seen.coordinator_code is None:
        yield Finding(kind=FindingKind.HANG, text="the coordinator did not end when it was told to")
    elif seen.coordinator_code != 0:
        text = f"the coordinator ended with {seen.coordinator_code} when it was told to end"
        yield Finding(kind=FindingKind.BAD_END, text=text)


def _run_end(seen: Observed, stored: StoredRun) -> Iterator[Finding]:
    state, outcome = stored.ci_run["state"], stored.ci_run["outcome"]
    if state not in ENDED:
        yield Finding(kind=FindingKind.HANG, text=f"the CI run is still {state} though all jobs have ended")
    unfinished = [task["task_id"] for task in stored.tasks if task["state"] != "finished"]
    if state in ENDED and unfinished:
        yield Finding(
            kind=FindingKind.HANG, text=f"the CI run is {state} with unfinished tasks: {unfinished}"
        )
    bad = [task["task_id"] for task in stored.tasks if task["outcome"] not in GOOD]
    if seen.main.was_ended and bad and outcome == "succeeded":
        yield Finding(
            kind=FindingKind.WRONG_GREEN,
            text=f"main was killed, the CI run is {state}/{outcome}, without success: {bad}",
        )


# -------------------------------------------------------------------------------------------- 1: the colour
def _colour(seen: Observed) -> Iterator[Finding]:
    code = seen.main.code
    if seen.main.was_ended or code is None:
        return
    results = seen.left_by_main.results
    if code == 0:
        missing = sorted(seen.plain.results.keys() - results.keys())
        failed = sorted(name for name, result in results.items() if result.code != 0)
        if seen.plain.code != 0 or missing or failed:
            why = f"plain nx: {seen.plain.code}, without result: {missing}, failed: {failed}"
            yield Finding(kind=FindingKind.WRONG_GREEN, text=f"main ended with 0 ({why})")
    elif seen.plain.code == 0:
        failed = sorted(name for name, result in results.items() if result.code != 0)
        yield Finding(
            kind=FindingKind.WRONG_RED, text=f"main ended with {code}, plain nx with 0; failed: {failed}"
        )
    elif code != seen.plain.code:
        text = f"main ended with {code}, plain nx with {seen.plain.code}"
        yield Finding(kind=FindingKind.DIFFERENCE, text=text)


# ------------------------------------------------------------------------------------- 3: as plain nx does
def _likeness(seen: Observed) -> Iterator[Finding]:
    if seen.main.was_ended or seen.main.code is None:
        return
    left = seen.left_by_main
    for name in sorted(seen.plain.results.keys() | left.results.keys()):
        expected, actual = seen.plain.results.get(name), left.results.get(name)
        # Whether a task was a hit may differ: what ran before a fault is found in a cache after it.
        if (expected and (expected.hash, expected.code)) != (actual and (actual.hash, actual.code)):
            text = f"{name}: plain nx has {expected}, main {actual}"
            yield Finding(kind=FindingKind.DIFFERENCE, text=text)
    for name in sorted(seen.plain.outputs.keys() | left.outputs.keys()):
        before, after = seen.plain.outputs.get(name), left.outputs.get(name)
        if before != after:
            text = f"terminal output of {name}: expected {before!r}, found {after!r}"
            yield Finding(kind=FindingKind.DIFFERENCE, text=text)
    for text in left.file_differences:
        yield Finding(kind=FindingKind.DIFFERENCE, text=text)


def _agents(seen: Observed) -> Iterator[Finding]:
    for agent in seen.agents:
        if agent.code not in {0, None} and not agent.was_ended:
            last = _last_words(agent)
            yield Finding(kind=FindingKind.BAD_END, text=f"{agent.name} ended with {agent.code}: {last}")


def _last_words(job: JobEnd) -> str:
    lines = [line for line in job.log.split("\n") if line.startswith("[nx-dte]")]
    return lines[-1] if lines else job.log[-300:]


# ------------------------------------------------------------------------------------- 4: nothing lost, once
def _forgotten(seen: Observed, stored: StoredRun) -> Iterator[Finding]:
    """What was told once stays so, through every crash."""
    kept = {event["sequence"]: event for event in stored.events}
    for event in seen.told:
        if kept.get(event["sequence"]) != event:
            text = f"event {event['sequence']} was told as {event}, is now {kept.get(event['sequence'])}"
            yield Finding(kind=FindingKind.LOST_RESULT, text=text)
    if list(kept) != list(range(1, len(kept) + 1)):
        yield Finding(kind=FindingKind.INCONSISTENCY, text=f"the events' numbers have gaps: {sorted(kept)}")


def _stories(stored: StoredRun) -> Iterator[Finding]:
    stories: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for event in stored.events:
        if event["task_id"] is not None:
            stories[event["invocation_id"], event["task_id"]].append(event)
    for task in stored.tasks:
        story = stories[task["invocation_id"], task["task_id"]]
        for fault in _contradictions(task, story):
            yield Finding(kind=FindingKind.INCONSISTENCY, text=f"{task['task_id']}: {fault}: {_short(story)}")
        again = _leased_after_its_end(story)
        if again:
            text = f"{task['task_id']} was given out again after its end: {_short(story)}"
            yield Finding(kind=FindingKind.LOST_RESULT, text=text)


def _contradictions(task: dict[str, Any], story: list[dict[str, Any]]) -> Iterator[str]:
    finished = [event for event in story if event["kind"] == "task_finished"]
    leased = [event["attempt"] for event in story if event["kind"] == "task_leased"]
    if len(finished) != (task["state"] == "finished"):
        yield f"it is {task['state']} and has finished {len(finished)} times"
    # An attempt that ends unleased (its agent could not take it) leaves a gap; none is ever given out twice.
    if leased != sorted(set(leased)):
        yield f"its attempts are not in order: {leased}"
    if finished and finished[0]["result"]["outcome"] != task["outcome"]:
        yield f"its event says {finished[0]['result']['outcome']}, its row {task['outcome']}"
    ran = finished and task["outcome"] in {"succeeded", "failed"}
    if ran and (not leased or finished[0]["attempt"] != leased[-1]):
        yield f"attempt {finished[0]['attempt']} was counted, attempts {leased} were given out"


def _leased_after_its_end(story: list[dict[str, Any]]) -> bool:
    kinds = [event["kind"] for event in story]
    return "task_finished" in kinds and "task_leased" in kinds[kinds.index("task_finished") :]


def _short(story: list[dict[str, Any]]) -> str:
    return ", ".join(f"{event['sequence']} {event['kind']} {event['attempt']}" for event in story)


# --------------------------------------------------------------------------------------------- 5: the cache
def _leaks(seen: Observed) -> Iterator[Finding]:
    if seen.scenario.is_read_only and seen.visible_to_read_write:
        yield Finding(
            kind=FindingKind.LEAK,
            text=f"a read-write token sees entries of a read-only run: {seen.visible_to_read_write}",
        )

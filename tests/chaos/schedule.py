"""From a seed and a round's number to what is run and what is done to it. Pure: the same numbers, the same round."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tests.chaos.faults import COORDINATOR, EVERYBODY, MAIN, Fault, FaultKind, agent

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

__all__ = ["ALL_KINDS", "Scenario", "draw", "keep_only"]

ALL_KINDS = frozenset(FaultKind)
WINDOW_S = 20.0
MARGIN_S = 1.0
FEWEST, MOST = 3, 7
TRIES = 60

# How often each kind is drawn, relative to the others.
_WEIGHTS = {
    FaultKind.KILL_AGENT: 4,
    FaultKind.STOP_AGENT: 2,
    FaultKind.FREEZE_AGENT: 5,
    FaultKind.KILL_EXECUTOR: 4,
    FaultKind.KILL_COORDINATOR: 6,
    FaultKind.RESTART_COORDINATOR: 4,
    FaultKind.FREEZE_COORDINATOR: 4,
    FaultKind.FREEZE_MAIN: 3,
    FaultKind.CUT: 4,
    FaultKind.REFUSE: 4,
    FaultKind.STALL: 4,
    FaultKind.DELAY: 3,
    FaultKind.CUT_ANSWERS: 5,
    FaultKind.FILL_DISK: 4,
    FaultKind.STEP_CLOCK: 4,
}
_LONGEST_S = {
    FaultKind.FREEZE_AGENT: 12.0,
    FaultKind.FREEZE_COORDINATOR: 12.0,
    FaultKind.FREEZE_MAIN: 5.0,
    FaultKind.KILL_COORDINATOR: 8.0,
    FaultKind.RESTART_COORDINATOR: 4.0,
    FaultKind.REFUSE: 8.0,
    FaultKind.STALL: 12.0,
    FaultKind.DELAY: 10.0,
    FaultKind.FILL_DISK: 8.0,
}
_OF_AGENTS = {FaultKind.KILL_AGENT, FaultKind.STOP_AGENT, FaultKind.FREEZE_AGENT, FaultKind.KILL_EXECUTOR}
_OF_MAIN = {FaultKind.FREEZE_MAIN, FaultKind.KILL_MAIN}
_OF_NETWORK = {FaultKind.CUT, FaultKind.REFUSE, FaultKind.STALL, FaultKind.DELAY, FaultKind.CUT_ANSWERS}
_ENDS_AN_AGENT = {FaultKind.KILL_AGENT, FaultKind.STOP_AGENT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One round: the pipeline, and the faults in order of time."""

    seed: int
    number: int
    agents: int
    parallel: int
    is_red: bool
    """One task fails, so the right colour is red."""
    is_read_only: bool
    """The pipeline's token is the read-only one."""
    commands: int
    """One `nx` command, or two after one another."""
    faults: tuple[Fault, ...]

    def describe(self) -> list[str]:
        """The round in words, a line for each fault."""
        traits = [
            f"{self.agents} agents",
            f"--parallel={self.parallel}",
            "a failing task" if self.is_red else "all tasks pass",
            "read-only token" if self.is_read_only else "read-write token",
            "one command" if self.commands == 1 else "two commands",
        ]
        return [f"round {self.number} of seed {self.seed}: {', '.join(traits)}", *map(str, self.faults)]

    def has(self, kind: FaultKind, target: str | None = None) -> bool:
        """Whether this is done to anybody, or to `target`."""
        return any(fault.kind is kind and target in {None, fault.target, EVERYBODY} for fault in self.faults)


def draw(seed: int, number: int, *, kinds: Collection[FaultKind] = ALL_KINDS) -> Scenario:
    """Draw a round. Kinds that are not possible here are drawn and left out, so that the others stay the same."""
    dice = random.Random(f"{seed}/{number}")  # noqa: S311 - for repeatable rounds, not for secrets
    scenario = Scenario(
        seed=seed,
        number=number,
        agents=dice.choice((2, 2, 3)),
        parallel=dice.choice((1, 2, 2, 3)),
        is_red=dice.random() < 0.25,
        is_read_only=dice.random() < 0.25,
        commands=dice.choice((1, 1, 2)),
        faults=(),
    )
    faults: list[Fault] = []
    wanted = dice.randint(FEWEST, MOST)
    for _ in range(TRIES):
        fault = _draw_fault(dice, scenario.agents)
        if len(faults) < wanted and _fits(fault, faults, scenario.agents):
            faults.append(fault)
    last = _draw_last(dice)
    if last is not None:
        faults = [fault for fault in faults if _leaves_room(fault, last)] + [last]
    ordered = sorted(faults, key=lambda fault: fault.at_s)
    numbered = tuple(replace(fault, number=place) for place, fault in enumerate(ordered, 1))
    return replace(scenario, faults=tuple(fault for fault in numbered if fault.kind in kinds))


def keep_only(scenario: Scenario, numbers: Collection[int]) -> Scenario:
    """The same round with some of its faults: for finding out which ones matter."""
    return replace(scenario, faults=tuple(fault for fault in scenario.faults if fault.number in numbers))


def _draw_fault(dice: random.Random, agents: int) -> Fault:
    """One fault; the same number of throws for each kind, whatever comes of it."""
    kind = dice.choices(list(_WEIGHTS), weights=list(_WEIGHTS.values()))[0]
    at_s = round(dice.uniform(0, WINDOW_S), 1)
    share, one_agent, whom, much = dice.random(), dice.randint(1, agents), dice.random(), dice.random()
    longest = _LONGEST_S.get(kind, 0.0)
    shortest = 0.0 if kind is FaultKind.KILL_COORDINATOR else 1.0
    for_s = round(shortest + share * (longest - shortest), 1) if longest else 0.0
    return Fault(
        number=0,
        at_s=at_s,
        kind=kind,
        target=_target(kind, agent(one_agent), whom),
        for_s=for_s,
        amount=_amount(kind, much),
    )


def _target(kind: FaultKind, one_agent: str, whom: float) -> str:
    if kind in _OF_AGENTS:
        return one_agent
    if kind in _OF_MAIN:
        return MAIN
    if kind not in _OF_NETWORK:
        return COORDINATOR
    if whom < 0.3:
        return EVERYBODY
    return MAIN if whom < 0.5 else one_agent


def _amount(kind: FaultKind, much: float) -> float:
    match kind:
        case FaultKind.DELAY:
            return round(0.2 + 1.3 * much, 1)
        case FaultKind.CUT_ANSWERS:
            return 1 + int(5 * much)
        case FaultKind.STEP_CLOCK:
            return round((much - 0.5) * 1200)
        case _:
            return 0


def _fits(fault: Fault, others: Sequence[Fault], agents: int) -> bool:
    """Whether a fault says something beside the others: none on the same target at the same time, an agent is left."""
    if fault.kind in _ENDS_AN_AGENT:
        ended = {other.target for other in others if other.kind in _ENDS_AN_AGENT}
        if fault.target in ended or len(ended) + 1 >= agents:
            return False
    # Twice under the same task is that task's own failure, by definition.
    if fault.kind is FaultKind.KILL_EXECUTOR and any(
        other.kind is fault.kind and other.target == fault.target for other in others
    ):
        return False
    return not any(_collide(fault, other) for other in others)


def _collide(one: Fault, other: Fault) -> bool:
    same_thing = _thing(one.kind) == _thing(other.kind)
    same_target = one.target == other.target or EVERYBODY in {one.target, other.target}
    apart = one.at_s > other.end_s + MARGIN_S or other.at_s > one.end_s + MARGIN_S
    return same_thing and same_target and not apart


def _thing(kind: FaultKind) -> str:
    """What a fault gets hold of: a process, its connections, its disk or its clock."""
    if kind in _OF_NETWORK:
        return "network"
    return kind if kind in {FaultKind.FILL_DISK, FaultKind.STEP_CLOCK} else "process"


def _draw_last(dice: random.Random) -> Fault | None:
    """Now and then one fault after which nothing is as it was."""
    chance, when, whole = dice.random(), round(dice.uniform(4, WINDOW_S), 1), dice.choice((0, 1))
    if chance < 0.1:
        return Fault(number=0, at_s=when, kind=FaultKind.KILL_MAIN, target=MAIN, amount=whole)
    if chance < 0.2:
        return Fault(number=0, at_s=when, kind=FaultKind.LOSE_COORDINATOR, target=COORDINATOR)
    return None


def _leaves_room(fault: Fault, last: Fault) -> bool:
    """Whether a fault is over before the last one, if it has the same target."""
    return fault.target != last.target or fault.end_s + MARGIN_S < last.at_s

"""An agent of an ended run waits for a newer attempt, and no longer than it was told."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

from nx_dte.errors import CoordinatorUnreachableError
from nx_dte.rerun_guard import Verdict, VerdictKind, wait_for_main

if TYPE_CHECKING:
    from nx_dte.client import CoordinatorClient

WAITS = Verdict(kind=VerdictKind.PROCEED, message="waiting", main_timeout_s=120, after_attempt=1)


@dataclass
class Run:
    attempt: int


@dataclass
class World:
    """A clock that moves when somebody sleeps, and a coordinator that answers by the clock."""

    attempts: dict[float, int | None]
    """From when on which attempt is the newest; None: the coordinator is away."""
    at: float = 0.0
    asked: list[float] = field(default_factory=list)

    def now(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.at += seconds

    def newest_run(self, **_: Any) -> Run:
        self.asked.append(self.at)
        attempt = self.attempts[max(start for start in self.attempts if start <= self.at)]
        if attempt is None:
            raise CoordinatorUnreachableError
        return Run(attempt)

    def wait(self, verdict: Verdict = WAITS) -> Verdict:
        return wait_for_main(verdict, cast("CoordinatorClient", self), now=self.now, sleep=self.sleep)


def test_it_goes_on_as_soon_as_there_is_a_newer_attempt() -> None:
    world = World({0: 1, 30: 2})
    verdict = world.wait()
    assert (verdict.kind, verdict.after_attempt) == (VerdictKind.PROCEED, None)
    assert 30 <= world.at < 34


def test_what_was_said_before_the_wait_is_not_said_again() -> None:
    for attempts in ({0.0: 1, 30.0: 2}, {0.0: 1}):
        verdict = World(dict(attempts)).wait(replace(WAITS, notes=("not known",)))
        assert verdict.message != WAITS.message
        assert verdict.notes == ()


def test_it_ends_as_main_did_when_none_comes() -> None:
    world = World({0: 1})
    verdict = world.wait()
    assert (verdict.kind, verdict.exit_code) == (VerdictKind.MIRROR, 77)
    assert 120 <= world.at < 124


def test_it_ends_with_0_when_none_comes_after_a_success() -> None:
    verdict = World({0: 1}).wait(
        Verdict(
            kind=VerdictKind.PROCEED,
            message="",
            main_timeout_s=10,
            after_attempt=1,
            otherwise=VerdictKind.NOTHING_TO_DO,
        )
    )
    assert verdict.exit_code == 0
    assert not verdict.may_proceed


def test_a_coordinator_that_is_away_for_a_while_is_asked_again() -> None:
    world = World({0: None, 20: 2})
    assert world.wait().may_proceed
    assert world.at >= 20


def test_other_verdicts_wait_for_nothing() -> None:
    world = World({0: 1})
    plain = Verdict(kind=VerdictKind.PROCEED, message="")
    assert world.wait(plain) is plain
    refused = Verdict(kind=VerdictKind.REFUSE, message="")
    assert world.wait(refused) is refused
    assert world.asked == []

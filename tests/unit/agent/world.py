"""A world for the supervisor: a clock that only waiting moves, and agent processes that live by a written history."""

from __future__ import annotations

import signal
from dataclasses import dataclass, field

from nx_dte.agent import Limits, Supervisor
from nx_dte.agent.reading import AgentLog
from nx_dte.gitlab.sections import SectionLog

__all__ = ["JOINED", "Life", "Stop", "World"]

JOINED = "[nx-dte] agent-1 joined CI run RUN as agent A.\n"
KILLED = 128 + signal.SIGKILL
TERMINATED = 128 + signal.SIGTERM
TOO_LONG_S = 100_000.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Life:
    """One agent process. Times are seconds from its start."""

    lines: tuple[tuple[float, str], ...] = ()
    ends_at: float | None = None
    """By itself; None: it lives until it is told to end."""
    code: int = 0
    goodbye_s: float | None = 0.2
    """How long it takes from SIGTERM to its end; None: it ignores that."""
    says_goodbye: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """The job is told to stop. Times are the world's."""

    at: float
    number: signal.Signals = signal.SIGTERM
    reaches_all_at: float | None = None
    """When the agent process is told by the same hand; None: only the job is."""


@dataclass(slots=True, kw_only=True)
class FakeChild:
    """A process that lives as its history says; once told to end, as its goodbye says."""

    world: World
    life: Life
    started_at: float
    told_at: list[float] = field(default_factory=list)
    killed_at: float | None = None
    printed: int = 0

    @property
    def ended_at(self) -> float | None:
        """When it ended, or will, as far as that is known by now."""
        ends = [] if self.life.ends_at is None else [self.started_at + self.life.ends_at]
        if self.killed_at is not None:
            ends.append(self.killed_at)
        if self.told_at and self.life.goodbye_s is not None:
            # Who is told a second time does not finish its goodbye.
            ends.append(self.told_at[1] if len(self.told_at) > 1 else self.told_at[0] + self.life.goodbye_s)
        return min(ends, default=None)

    @property
    def is_alive(self) -> bool:
        """Whether it lives now."""
        self._hear_of_stop()
        return self.ended_at is None or self.world.now < self.ended_at

    def poll(self) -> int | None:
        """See RunningChild."""
        if self.is_alive:
            return None
        natural = None if self.life.ends_at is None else self.started_at + self.life.ends_at
        if self.ended_at == natural:
            return self.life.code
        return KILLED if self.ended_at == self.killed_at else TERMINATED

    def lines(self) -> list[bytes]:
        """See RunningChild."""
        self._hear_of_stop()
        texts = [(self.started_at + at, text) for at, text in self.life.lines]
        if self.told_at and self.life.says_goodbye and self.life.goodbye_s is not None:
            texts.append((self.told_at[0], "[nx-dte] SIGTERM: leaving; what is not finished goes back.\n"))
        ended_at = self.ended_at
        due = sorted(
            (at, text) for at, text in texts if at <= self.world.now and (ended_at is None or at <= ended_at)
        )
        fresh, self.printed = due[self.printed :], len(due)
        return [text.encode() for _, text in fresh]

    def ask_to_end(self) -> None:
        """See RunningChild."""
        if self.is_alive:
            self.told_at.append(self.world.now)

    def _hear_of_stop(self) -> None:
        stop = self.world.stop
        at = None if stop is None else stop.reaches_all_at
        if at is not None and self.started_at <= at <= self.world.now and at not in self.told_at:
            self.told_at.insert(0, at)


@dataclass(slots=True, kw_only=True)
class World:
    """Clock, processes, signal, log. `run` plays it to its end."""

    lives: list[Life]
    limits: Limits = field(default_factory=Limits)
    stop: Stop | None = None
    has_failed: bool = False
    """Whether something of the CI run has failed by the time the job leaves by a limit."""

    now: float = 0.0
    children: list[FakeChild] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    rests_ended: int = 0

    # ------------------------------------------------------------------------------ what is asked
    @property
    def received(self) -> signal.Signals | None:
        """See Stopping."""
        return None if self.stop is None or self.now < self.stop.at else self.stop.number

    @property
    def exit_code(self) -> int:
        """See Stopping."""
        return 128 + int(self.received or signal.SIGTERM)

    def sleep(self, seconds: float) -> None:
        """Time passes."""
        assert self.now < TOO_LONG_S, "the supervisor never ends"
        self.now += max(seconds, 1e-6)

    def start(self) -> FakeChild:
        """The next life begins."""
        assert len(self.children) < len(self.lives), "more processes were started than the history has"
        child = FakeChild(world=self, life=self.lives[len(self.children)], started_at=self.now)
        self.children.append(child)
        return child

    def end_rest(self, grace_s: float) -> bool:
        """Everything ends: told, and killed when the grace is over."""
        self.rests_ended += 1
        living = [child for child in self.children if child.is_alive]
        for child in living:
            child.ask_to_end()
        if any(child.ended_at is None or child.ended_at > self.now + grace_s for child in living):
            self.now += grace_s
        for child in living:
            if child.is_alive:
                child.killed_at = self.now
        return True

    # ----------------------------------------------------------------------------------- playing it
    def run(self) -> int:
        """Play the history; returns the job's exit code. Nothing of it may be left alive."""
        sections = SectionLog(write=self.log.append, now=lambda: self.now, is_gitlab=True)
        code = Supervisor(
            start=self.start,
            end_rest=self.end_rest,
            exit_code_of_early_end=lambda: 77 if self.has_failed else 0,
            log=AgentLog(
                write=lambda line: self.log.append(line.decode()), sections=sections, now=lambda: self.now
            ),
            limits=self.limits,
            stopping=self,
            now=lambda: self.now,
            sleep=self.sleep,
            say=self.said.append,
        ).run()
        assert [child for child in self.children if child.is_alive] == []
        return code

    @property
    def starts(self) -> list[float]:
        """When processes were started, to a tenth of a second."""
        return [round(child.started_at, 1) for child in self.children]

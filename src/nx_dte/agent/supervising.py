"""The supervisor: keeps one agent process alive until it ends in order, or is to end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from nx_dte.errors import EXIT_CONFIGURATION, EXIT_COORDINATOR_LOST, EXIT_INTERNAL
from nx_dte.processes import STOP_CODES
from nx_dte.rerun_guard.verdict import EXIT_MIRROR

if TYPE_CHECKING:
    from collections.abc import Callable

    from nx_dte.agent.limits import Limits
    from nx_dte.agent.reading import AgentLog
    from nx_dte.processes import RunningChild

__all__ = ["ORDERLY", "Stopping", "Supervisor"]

EXIT_GAVE_UP = 76
ORDERLY = frozenset({0, EXIT_COORDINATOR_LOST, EXIT_GAVE_UP, EXIT_MIRROR, EXIT_CONFIGURATION})
"""What an agent ends with on purpose: starting it again would change nothing."""
LOOK_S = 0.05
HEARS_WITHIN_S = 1.0
"""A cancelled job's processes may have been told all at once; who has not heard by then is told."""
SAME_SIGNAL_S = 0.5
"""Told one after the other, this job may be the next when it sees that the agent was."""
REST_S = 1.0


class Stopping(Protocol):
    """Whether the job was told to stop."""

    @property
    def received(self) -> object | None:
        """Set once it was."""

    @property
    def exit_code(self) -> int:
        """What to end with then."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Supervisor:
    """Everything it touches is given to it."""

    start: Callable[[], RunningChild]
    """Start another agent process."""
    end_rest: Callable[[float], bool]
    """Tell whatever an agent process has left behind to end, end it after so many seconds; whether it is all gone."""
    exit_code_of_early_end: Callable[[], int]
    """What a job ends with that leaves by a limit of its own."""
    log: AgentLog
    limits: Limits
    stopping: Stopping
    now: Callable[[], float]
    """Seconds of a clock that never goes back."""
    sleep: Callable[[float], None]
    say: Callable[[str], None]

    def run(self) -> int:
        """Supervise until the end; returns the job's exit code. Nothing that was started outlives it."""
        try:
            return self._run()
        except BaseException:
            self.end_rest(0.0)
            raise

    def _run(self) -> int:
        began_at = self.now()
        restarts = 0
        while True:
            self.log.forget()
            started_at = self.now()
            child = self.start()
            code, is_over = self._live(child, began_at)
            self.log.end_section()
            if is_over:
                return code
            self.end_rest(REST_S if code in ORDERLY else 0.0)
            if code in ORDERLY:
                return code
            if code in STOP_CODES and not self._pause(SAME_SIGNAL_S):
                return self._stopped()
            restarts = 1 if self.now() - started_at >= self.limits.steady_s else restarts + 1
            if restarts > self.limits.max_restarts:
                self.say(
                    f"the agent crashed {restarts} times in a row, last with {_spoken(code)}: giving up. What it printed "
                    "stands above"
                )
                return EXIT_INTERNAL
            pause_s = self.limits.pause_s(restarts)
            self.say(
                f"the agent crashed with {_spoken(code)}; restart {restarts} of {self.limits.max_restarts} in {pause_s:g} s"
            )
            if not self._pause(pause_s):
                return self._stopped()

    def _live(self, child: RunningChild, began_at: float) -> tuple[int, bool]:
        """Watch one process to its end: its exit code, and whether that is the job's."""
        active_at = self.now()
        while True:
            code = child.poll()
            was_active = False
            for line in child.lines():
                was_active |= self.log.take(line)
            if was_active or self.log.running or not self.log.has_joined:
                active_at = self.now()
            if self.stopping.received is not None:
                self.say(f"{self._signal}: leaving; what is not finished goes back to the queue")
                self._stop(child)
                return self.stopping.exit_code, True
            if code is not None:
                return code, False
            reason = self._limit_reached(began_at, active_at)
            if reason is not None:
                self.say(f"{reason}: leaving")
                self._stop(child)
                return self._early_end(), True
            self.sleep(LOOK_S)

    @property
    def _signal(self) -> str:
        return str(getattr(self.stopping.received, "name", "signal"))

    def _early_end(self) -> int:
        return self.exit_code_of_early_end() if self.stopping.received is None else self.stopping.exit_code

    def _stopped(self) -> int:
        self.say(f"{self._signal}: leaving; no agent runs")
        return self.stopping.exit_code

    def _limit_reached(self, began_at: float, active_at: float) -> str | None:
        idle_s, lifetime_s = self.limits.idle_limit_s, self.limits.lifetime_s
        if lifetime_s is not None and self.now() - began_at >= lifetime_s:
            return f"this agent's lifetime of {lifetime_s:g} s is over"
        if idle_s is not None and self.now() - active_at >= idle_s:
            return f"no task has run here for {idle_s:g} s"
        return None

    def _stop(self, child: RunningChild) -> None:
        """Let it say goodbye, and end whatever is left when its time is over.

        A second SIGTERM would end a client of ours in the middle of its goodbye, so it is told only if it has not heard.
        """
        began_at = self.now()
        was_told = self.stopping.received is None
        if was_told:
            child.ask_to_end()
        while child.poll() is None and self.now() - began_at < self.limits.grace_s:
            for line in child.lines():
                self.log.take(line)
            if not was_told and not self.log.is_leaving and self.now() - began_at >= HEARS_WITHIN_S:
                was_told = True
                child.ask_to_end()
            self.sleep(LOOK_S)
        left_s = max(0.0, self.limits.grace_s - (self.now() - began_at))
        has_ended = self.end_rest(min(left_s, REST_S))
        child.poll()
        for line in child.lines():
            self.log.take(line)
        self.log.end_section()
        if not has_ended:
            self.say("some of its processes could not be ended")

    def _pause(self, pause_s: float) -> bool:
        """Wait; false when the job is told to stop meanwhile."""
        until = self.now() + pause_s
        while self.now() < until:
            if self.stopping.received is not None:
                return False
            self.sleep(min(LOOK_S, max(0.0, until - self.now())))
        return self.stopping.received is None


def _spoken(code: int) -> str:
    return f"signal {code - 128}" if 128 < code < 160 else f"exit code {code}"  # noqa: PLR2004  # a shell's signals

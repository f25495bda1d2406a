"""What can be done to a pipeline, as values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["COORDINATOR", "EVERYBODY", "MAIN", "Fault", "FaultKind", "agent"]

MAIN = "main"
COORDINATOR = "coordinator"
EVERYBODY = "everybody"


def agent(number: int) -> str:
    """The name of an agent as a target, from 1."""
    return f"agent-{number}"


class FaultKind(StrEnum):
    """What is done. `for_s` and `amount` of a fault mean what stands here."""

    KILL_AGENT = "kill_agent"
    """SIGKILL to every process of an agent job, as if its host were gone."""
    STOP_AGENT = "stop_agent"
    """SIGTERM to an agent job's process group, as when a job is cancelled."""
    FREEZE_AGENT = "freeze_agent"
    """SIGSTOP to every process of an agent job, SIGCONT after `for_s`."""
    KILL_EXECUTOR = "kill_executor"
    """SIGKILL to the child in which an agent runs Nx."""
    KILL_COORDINATOR = "kill_coordinator"
    """SIGKILL; started again after `for_s`."""
    RESTART_COORDINATOR = "restart_coordinator"
    """SIGTERM; started again once it has ended and `for_s` have passed."""
    LOSE_COORDINATOR = "lose_coordinator"
    """SIGKILL; not started again before all jobs have ended."""
    FREEZE_COORDINATOR = "freeze_coordinator"
    """SIGSTOP, SIGCONT after `for_s`."""
    FREEZE_MAIN = "freeze_main"
    """SIGSTOP to every process of the main job, SIGCONT after `for_s`, which is less than main's silence."""
    KILL_MAIN = "kill_main"
    """SIGKILL to the main job's process group (`amount` 0) or to every process of it (`amount` 1)."""
    CUT = "cut"
    """Open connections are reset, once."""
    REFUSE = "refuse"
    """Connections are reset, and new ones refused, for `for_s`."""
    STALL = "stall"
    """Connections stay open and no byte passes, for `for_s`."""
    DELAY = "delay"
    """Each piece of an answer is held back for `amount` seconds, for `for_s`."""
    CUT_ANSWERS = "cut_answers"
    """The next `amount` answers end in their middle."""
    FILL_DISK = "fill_disk"
    """No byte is free on the coordinator's disk, for `for_s`."""
    STEP_CLOCK = "step_clock"
    """The coordinator's wall clock steps by `amount` seconds and stays so; the monotonic clock does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault: when (seconds from the moment all jobs have started), what, to whom."""

    number: int
    at_s: float
    kind: FaultKind
    target: str
    for_s: float = 0.0
    amount: float = 0.0

    @property
    def end_s(self) -> float:
        """When it is over."""
        return self.at_s + self.for_s

    def __str__(self) -> str:
        parts = [f"#{self.number} at {self.at_s:.1f} s: {self.kind} of {self.target}"]
        if self.for_s:
            parts.append(f"for {self.for_s:.1f} s")
        if self.amount:
            parts.append(f"by {self.amount:g}")
        return " ".join(parts)

"""The table of moves between states; anything that is not in it is a fault and raises.

`docs/states.md` draws the same table.
"""

from collections.abc import Iterable
from enum import StrEnum

from nx_dte.coordinator.scheduler.errors import InvalidTransitionError
from nx_dte.model.agent import AgentState
from nx_dte.model.invocation import InvocationState
from nx_dte.model.lease import LeaseState
from nx_dte.model.run import CiRunState
from nx_dte.model.task import TaskState

MOVES: frozenset[tuple[StrEnum, StrEnum]] = frozenset(
    {
        (CiRunState.OPEN, CiRunState.STOPPING),
        (CiRunState.OPEN, CiRunState.FINISHED),
        (CiRunState.OPEN, CiRunState.ABANDONED),
        (CiRunState.STOPPING, CiRunState.FINISHED),
        (CiRunState.STOPPING, CiRunState.ABANDONED),
        (InvocationState.RUNNING, InvocationState.FINISHED),
        (InvocationState.RUNNING, InvocationState.CANCELLED),
        (TaskState.BLOCKED, TaskState.READY),
        (TaskState.BLOCKED, TaskState.FINISHED),
        (TaskState.READY, TaskState.LEASED),
        (TaskState.READY, TaskState.FINISHED),
        (TaskState.LEASED, TaskState.READY),
        (TaskState.LEASED, TaskState.FINISHED),
        (LeaseState.LIVE, LeaseState.REPORTED),
        (LeaseState.LIVE, LeaseState.EXPIRED),
        (LeaseState.LIVE, LeaseState.RELEASED),
        (LeaseState.LIVE, LeaseState.REVOKED),
        (AgentState.JOINED, AgentState.DRAINING),
        (AgentState.JOINED, AgentState.LEFT),
        (AgentState.JOINED, AgentState.LOST),
        (AgentState.DRAINING, AgentState.LEFT),
        (AgentState.DRAINING, AgentState.LOST),
        # A lost agent that is heard from again holds nothing and starts afresh.
        (AgentState.LOST, AgentState.JOINED),
    }
)


def check_move(what: str, before: StrEnum, after: StrEnum, *, story: Iterable[str] = ()) -> None:
    """Raise unless the table knows the move (staying where one is needs no entry)."""
    if before is not after and (before, after) not in MOVES:
        message = f"{what} cannot go from {before.value} to {after.value}."
        raise InvalidTransitionError(message, story=story)

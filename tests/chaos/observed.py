"""What was seen of a round, as values: the evidence that the checks judge."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.chaos.plain import PlainRun
    from tests.chaos.schedule import Scenario
    from tests.support.nx_results import TaskResult

__all__ = ["JobEnd", "MainEnd", "Observed", "StoredRun"]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEnd:
    """How a job ended. `code` is None if it did not within its deadline."""

    name: str
    code: int | None
    duration_s: float
    log: str
    was_ended: bool
    """By a fault: a SIGKILL or SIGTERM of ours."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MainEnd:
    """What the main job left in its checkout."""

    results: dict[str, TaskResult]
    outputs: dict[str, str]
    file_differences: list[str]
    """From plain nx, in words."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRun:
    """What the coordinator says about the CI run when all is over."""

    ci_run: dict[str, Any]
    tasks: list[dict[str, Any]]
    events: list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """A round's evidence."""

    scenario: Scenario
    plain: PlainRun
    main: JobEnd
    agents: list[JobEnd]
    left_by_main: MainEnd
    stored: StoredRun | None
    told: list[dict[str, Any]]
    """Every event the coordinator told while the faults went on."""
    visible_to_read_write: dict[str, Any]
    """Cache entries of the round's hashes that a read-write token finds."""
    coordinator_code: int | None
    """How it ended on SIGTERM when all was over; None if it did not."""
    leftovers: list[str]
    """Processes and files that should have gone, in words."""
    harness_errors: list[str]

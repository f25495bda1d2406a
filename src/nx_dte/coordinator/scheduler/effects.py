"""The effects: what is done after the facts are durable. Losing one changes nothing but the waiting time.

Log lines are no effect of their own: the engine logs every `EventAppended`.
"""

from dataclasses import dataclass
from enum import StrEnum

from nx_dte.model.ids import AgentId, CiRunId


@dataclass(frozen=True, slots=True, kw_only=True)
class WakeAgents:
    """There may be work for, or news to, waiting agents of the run."""

    ci_run_id: CiRunId
    agent_id: AgentId | None = None
    """Only this one; waking more than needed is never wrong."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WakeMain:
    """There are new events to follow."""

    ci_run_id: CiRunId


class Counter(StrEnum):
    """Counters the scheduler moves; names without the prefix, labels as in the metrics' documentation."""

    CI_RUNS = "ci_runs_total"
    TASKS = "tasks_total"
    TASK_ATTEMPTS = "task_attempts_total"
    LEASES_EXPIRED = "leases_expired_total"
    REPORTS_REFUSED = "reports_refused_total"
    AGENTS_LEFT = "agents_left_total"
    FLAKY_TASKS = "flaky_tasks_total"


class Histogram(StrEnum):
    """Histograms the scheduler feeds, in seconds."""

    CI_RUN_DURATION = "ci_run_duration_seconds"
    TASK_DURATION = "task_duration_seconds"
    TASK_WAIT = "task_wait_seconds"


@dataclass(frozen=True, slots=True, kw_only=True)
class CountMetric:
    """Add to a counter."""

    counter: Counter
    labels: tuple[tuple[str, str], ...] = ()
    by: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ObserveMetric:
    """Feed a histogram."""

    histogram: Histogram
    seconds: float
    labels: tuple[tuple[str, str], ...] = ()


Effect = WakeAgents | WakeMain | CountMetric | ObserveMetric

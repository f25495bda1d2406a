"""Carries out what a decision leads to, once its facts are durable: wake, count, log."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

import structlog

from nx_dte.coordinator.scheduler import facts
from nx_dte.coordinator.scheduler.effects import (
    Counter,
    CountMetric,
    Histogram,
    ObserveMetric,
    WakeAgents,
    WakeMain,
)
from nx_dte.model.event import EventKind

if TYPE_CHECKING:
    from collections.abc import Hashable

    from nx_dte.coordinator.engine.notifier import Notifier
    from nx_dte.coordinator.scheduler.answers import Answer, Decision
    from nx_dte.coordinator.scheduler.effects import Effect
    from nx_dte.model.event import Event
    from nx_dte.model.ids import CiRunId, WorkspaceId
    from nx_dte.telemetry import Metrics

log: structlog.stdlib.BoundLogger = structlog.get_logger("nx_dte.engine")
# One line a task would drown an operator's log; the rest of a run's life is worth one.
_DETAILS = frozenset({EventKind.TASK_READY, EventKind.TASK_LEASED, EventKind.TASK_FINISHED})


def agents_topic(ci_run_id: CiRunId) -> Hashable:
    """What agents of the run wait for."""
    return ("agents", ci_run_id)


def main_topic(ci_run_id: CiRunId) -> Hashable:
    """What main waits for."""
    return ("main", ci_run_id)


def join_topic(workspace_id: WorkspaceId, ci_id: str, environment: str) -> Hashable:
    """What agents wait for that came before their main."""
    return ("join", workspace_id, ci_id, environment)


class Actor:
    """Knows how to do what decisions ask for."""

    def __init__(self, *, notifier: Notifier, metrics: Metrics) -> None:
        self._notifier = notifier
        self._metrics = metrics
        self._counters = {
            Counter.CI_RUNS: metrics.ci_runs_total,
            Counter.TASKS: metrics.tasks_total,
            Counter.TASK_ATTEMPTS: metrics.task_attempts_total,
            Counter.LEASES_EXPIRED: metrics.leases_expired_total,
            Counter.REPORTS_REFUSED: metrics.reports_refused_total,
            Counter.AGENTS_LEFT: metrics.agents_left_total,
        }
        self._histograms = {
            Histogram.CI_RUN_DURATION: metrics.ci_run_duration_seconds,
            Histogram.TASK_DURATION: metrics.task_duration_seconds,
            Histogram.TASK_WAIT: metrics.task_wait_seconds,
        }

    def act(self, decision: Decision[Answer]) -> None:
        """Do it all; nothing here can fail the event, which is durable already."""
        for effect in decision.effects:
            self._carry_out(effect)
        for fact in decision.facts:
            if isinstance(fact, facts.EventAppended):
                _log(fact.event)
            elif isinstance(fact, facts.RunAdded):
                run = fact.run
                self._notifier.notify(join_topic(run.workspace_id, run.ci_id, run.environment))

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case WakeAgents(ci_run_id=ci_run_id):
                self._notifier.notify(agents_topic(ci_run_id))
            case WakeMain(ci_run_id=ci_run_id):
                self._notifier.notify(main_topic(ci_run_id))
            case CountMetric(counter=counter, labels=labels, by=by):
                metric = self._counters[counter]
                (metric.labels(**self._bounded(labels)) if labels else metric).inc(by)
            case ObserveMetric(histogram=histogram, seconds=seconds, labels=labels):
                observed = self._histograms[histogram]
                (observed.labels(**self._bounded(labels)) if labels else observed).observe(seconds)
            case _:
                assert_never(effect)

    def _bounded(self, labels: tuple[tuple[str, str], ...]) -> dict[str, str]:
        return {
            name: self._metrics.target_label(value) if name == "target" else value for name, value in labels
        }


def _log(event: Event) -> None:
    ids = {
        "ci_run_id": event.ci_run_id,
        "sequence": event.sequence,
        "invocation_id": event.invocation_id,
        "task_id": event.task_id,
        "attempt": event.attempt,
        "agent": event.agent_name,
        "lease_id": event.lease_id,
        "reason": event.reason,
    }
    write = log.debug if event.kind in _DETAILS else log.info
    write(
        event.message,
        kind=event.kind.value,
        **{name: value for name, value in ids.items() if value is not None},
    )

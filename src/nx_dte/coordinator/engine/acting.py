"""Carries out what a decision leads to, once its facts are durable: wake, count, log."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

import structlog

from nx_dte.coordinator.scheduler import facts
from nx_dte.coordinator.scheduler.answers import JoinAnswer
from nx_dte.coordinator.scheduler.effects import (
    Counter,
    CountMetric,
    Histogram,
    ObserveMetric,
    WakeAgents,
    WakeMain,
)
from nx_dte.model.agent import LeftReason
from nx_dte.model.event import EventKind
from nx_dte.model.lease import ReportRefusal
from nx_dte.model.run import RunOutcome
from nx_dte.model.task import TaskOutcome

if TYPE_CHECKING:
    from collections.abc import Hashable

    from nx_dte.coordinator.engine.notifier import Notifier
    from nx_dte.coordinator.scheduler.answers import Answer, Decision
    from nx_dte.coordinator.scheduler.effects import Effect
    from nx_dte.model.agent import Agent
    from nx_dte.model.event import Event
    from nx_dte.model.ids import CiRunId, WorkspaceId
    from nx_dte.model.task import Task
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
            Counter.FLAKY_TASKS: metrics.flaky_tasks_total,
        }
        for counter, label, closed in (
            (metrics.events_total, "kind", EventKind),
            (metrics.ci_runs_total, "outcome", RunOutcome),
            (metrics.reports_refused_total, "reason", ReportRefusal),
            (metrics.agents_left_total, "reason", LeftReason),
        ):
            metrics.preset(counter, label, [member.value for member in closed])
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
                self._metrics.events_total.labels(kind=fact.event.kind.value).inc()
                _log(fact.event)
            elif isinstance(fact, facts.RunAdded):
                run = fact.run
                self._notifier.notify(join_topic(run.workspace_id, run.ci_id, run.environment))
            elif isinstance(fact, facts.TaskAdded):
                self._saw_task(fact.task)
            elif isinstance(fact, facts.AgentAdded):
                self._saw_join(fact.agent, decision.answer)
            elif isinstance(fact, facts.AgentChanged) and fact.agent.left_at is not None:
                present = fact.agent.left_at - fact.agent.joined_at
                self._metrics.agent_presence_seconds_total.inc(max(0.0, present.total_seconds()))

    def _saw_task(self, task: Task) -> None:
        if task.outcome is TaskOutcome.CACHED and task.expected_s is not None:
            self._metrics.cache_saved_seconds_total.inc(task.expected_s)

    def _saw_join(self, agent: Agent, answer: Answer) -> None:
        if isinstance(answer, JoinAnswer) and answer.run is not None:
            waited = agent.joined_at - answer.run.created_at
            self._metrics.agent_join_seconds.observe(max(0.0, waited.total_seconds()))

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

"""Every metric of the coordinator, declared once.

Labels are few and bounded: workspace, outcome, state, target (the first 50 seen, else `other`), reason, route.
State gauges are filled at scrape time from the store, so all replicas show the same; use `max by`, never `sum`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_TARGETS = 50
FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
SLOW = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)


class Metrics:
    """The metrics and their registry. `nx_dte_` is every name's prefix."""

    def __init__(self, *, version: str, protocol: int) -> None:
        # A time of creation beside each counter would double the page and tell nothing.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        # Apart, because the client refuses a gauge `x` beside a counter `x_total`, which Prometheus allows.
        self.state_registry = CollectorRegistry()
        self._targets: set[str] = set()
        self._states: dict[int, set[str]] = {}

        def counter(name: str, help_text: str, *labels: str) -> Counter:
            return Counter(f"nx_dte_{name}", help_text, labels, registry=self.registry)

        def gauge(name: str, help_text: str, *labels: str) -> Gauge:
            return Gauge(f"nx_dte_{name}", help_text, labels, registry=self.state_registry)

        def histogram(
            name: str, help_text: str, *labels: str, buckets: tuple[float, ...] = FAST
        ) -> Histogram:
            return Histogram(f"nx_dte_{name}", help_text, labels, buckets=buckets, registry=self.registry)

        gauge("build_info", "1, labelled with what runs here", "version", "protocol").labels(
            version=version, protocol=str(protocol)
        ).set(1)
        self.ci_runs = gauge("ci_runs", "CI runs by state", "state")
        self.tasks = gauge("tasks", "tasks of live CI runs by state", "state")
        self.agents = gauge("agents", "agents by state", "state")

        self.ci_runs_total = counter("ci_runs_total", "CI runs ended", "outcome")
        self.tasks_total = counter("tasks_total", "tasks finished", "target", "outcome")
        self.task_attempts_total = counter("task_attempts_total", "task attempts leased, by why", "reason")
        self.leases_expired_total = counter("leases_expired_total", "leases that were reaped")
        self.reports_refused_total = counter("reports_refused_total", "reports refused", "reason")
        self.agents_left_total = counter("agents_left_total", "agents that left or were lost", "reason")
        self.cache_requests_total = counter("cache_requests_total", "hashes looked up", "scope", "result")
        self.artifact_bytes_total = counter("artifact_bytes_total", "artifact bytes moved", "direction")
        self.artifact_errors_total = counter(
            "artifact_errors_total", "artifact operations failed", "operation"
        )
        self.auth_decisions_total = counter("auth_decisions_total", "tokens judged", "decision", "reason")

        self.ci_run_duration_seconds = histogram(
            "ci_run_duration_seconds", "from open to end", "outcome", buckets=SLOW
        )
        self.task_duration_seconds = histogram(
            "task_duration_seconds", "run time of task attempts", "target", buckets=SLOW
        )
        self.task_wait_seconds = histogram("task_wait_seconds", "from ready to leased", buckets=SLOW)
        self.claim_duration_seconds = histogram(
            "claim_duration_seconds", "a claim that was given work, less waiting"
        )
        self.transaction_duration_seconds = histogram(
            "transaction_duration_seconds", "deciding and persisting one event", "event"
        )
        self.http_request_duration_seconds = histogram(
            "http_request_duration_seconds", "requests, long-polls without their waiting", "route", "code"
        )

    def target_label(self, target: str) -> str:
        """The target itself, or `other` once there are too many to label."""
        if target in self._targets or len(self._targets) < MAX_TARGETS:
            self._targets.add(target)
            return target
        return "other"

    def set_states(self, gauge: Gauge, states: Mapping[str, int]) -> None:
        """Show the counts by state; a state that no longer occurs is shown as 0."""
        shown = self._states.setdefault(id(gauge), set())
        shown.update(states)
        for state in shown:
            gauge.labels(state=state).set(states.get(state, 0))

    def render(self) -> bytes:
        """The exposition that Prometheus scrapes."""
        return generate_latest(self.registry) + generate_latest(self.state_registry)

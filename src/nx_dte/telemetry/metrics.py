"""Every metric of the coordinator, declared once.

Labels are few and bounded: outcome, state, target (the first 50 seen, else `other`), reason, route and the like, never an
id or a name that somebody chose. State gauges are filled at scrape time from the store, so all replicas show the same: use
`max by` for them, never `sum`. Counters and histograms belong to one process: use `sum`.

docs/metrics.md is generated from `Metrics.declared`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MAX_TARGETS = 50
FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
SLOW = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """One metric, as the documentation lists it."""

    name: str
    """In full, as it is scraped (a histogram's without `_bucket`, `_sum` and `_count`)."""
    kind: str
    """counter, gauge or histogram."""
    help_text: str
    labels: tuple[str, ...]


class Metrics:
    """The metrics and their registry. `nx_dte_` is every name's prefix."""

    def __init__(self, *, version: str, protocol: int) -> None:
        # A time of creation beside each counter would double the page and tell nothing.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        # Apart, because the client refuses a gauge `x` beside a counter `x_total`, which Prometheus allows.
        self.state_registry = CollectorRegistry()
        ProcessCollector(registry=self.state_registry)
        self.declared: list[Declared] = []
        self._targets: set[str] = set()
        self._states: dict[int, set[str]] = {}
        self._declare_states(version, protocol)
        self._declare_life_of_runs()
        self._declare_cache_and_artifacts()
        self._declare_service()

    def _declare_states(self, version: str, protocol: int) -> None:
        self._gauge("build_info", "1, labelled with what runs here", "version", "protocol").labels(
            version=version, protocol=str(protocol)
        ).set(1)
        self.store_up = self._gauge(
            "store_up", "1 while the store answers; 0: the other state gauges are old"
        )
        self.migrations_pending = self._gauge(
            "migrations_pending", "schema changes that this version knows and the database lacks"
        )
        self.ci_runs = self._gauge("ci_runs", "CI runs by state", "state")
        self.tasks = self._gauge("tasks", "tasks of live CI runs by state", "state")
        self.agents = self._gauge("agents", "agents by state", "state")
        self.oldest_ready_task_timestamp_seconds = self._gauge(
            "oldest_ready_task_timestamp_seconds",
            "since when the longest waiting ready task waits, by what agents its CI run has: "
            "none, busy (each holds a lease) or idle (one holds none); no such task, no sample",
            "agents",
        )
        self.data_disk_free_bytes = self._gauge(
            "data_disk_free_bytes", "room left on the file system of the data folder"
        )
        self.data_disk_size_bytes = self._gauge(
            "data_disk_size_bytes", "size of the file system of the data folder"
        )

    def _declare_life_of_runs(self) -> None:
        self.events_total = self._counter(
            "events_total", "transitions: rows appended to the history of CI runs", "kind"
        )
        self.ci_runs_total = self._counter("ci_runs_total", "CI runs ended", "outcome")
        self.tasks_total = self._counter("tasks_total", "tasks finished", "target", "outcome")
        self.task_attempts_total = self._counter(
            "task_attempts_total", "task attempts ended, by how", "reason"
        )
        self.flaky_tasks_total = self._counter(
            "flaky_tasks_total",
            "failed task attempts that were tried again because the hash has succeeded before",
        )
        self.leases_expired_total = self._counter("leases_expired_total", "leases that were reaped")
        self.reports_refused_total = self._counter("reports_refused_total", "reports refused", "reason")
        self.agents_left_total = self._counter("agents_left_total", "agents that left or were lost", "reason")
        self.agent_presence_seconds_total = self._counter(
            "agent_presence_seconds_total", "from joining to leaving, of agents that left or were lost"
        )
        self.agent_join_seconds = self._histogram(
            "agent_join_seconds", "from the opening of a CI run to each agent's joining", buckets=SLOW
        )
        self.ci_run_duration_seconds = self._histogram(
            "ci_run_duration_seconds", "from open to end", "outcome", buckets=SLOW
        )
        self.task_duration_seconds = self._histogram(
            "task_duration_seconds", "run time of task attempts", "target", buckets=SLOW
        )
        self.task_wait_seconds = self._histogram("task_wait_seconds", "from ready to leased", buckets=SLOW)

    def _declare_cache_and_artifacts(self) -> None:
        self.cache_requests_total = self._counter(
            "cache_requests_total", "hashes looked up", "scope", "result"
        )
        self.cache_saved_seconds_total = self._counter(
            "cache_saved_seconds_total", "usual run time of tasks that were hits when they were submitted"
        )
        self.artifact_bytes_total = self._counter("artifact_bytes_total", "artifact bytes moved", "direction")
        self.artifact_store_bytes = self._gauge(
            "artifact_store_bytes", "bytes of all artifacts that are kept"
        )
        self.artifact_store_limit_bytes = self._gauge(
            "artifact_store_limit_bytes", "what artifacts_total_max_bytes allows them; 0 is no limit"
        )
        self.retention_deleted_total = self._counter(
            "retention_deleted_total", "deleted because of age or to make room", "kind"
        )
        self.artifact_errors_total = self._counter(
            "artifact_errors_total", "artifact operations failed", "operation"
        )

    def _declare_service(self) -> None:
        self.auth_decisions_total = self._counter(
            "auth_decisions_total", "tokens judged", "decision", "reason"
        )
        self.errors_total = self._counter(
            "errors_total", "requests that were refused or failed, by the code of the answer", "code"
        )
        self.requests_in_progress = self._gauge(
            "requests_in_progress", "requests being handled now, waiting long-polls among them"
        )
        self.claim_duration_seconds = self._histogram(
            "claim_duration_seconds", "a claim that was given work, less waiting"
        )
        self.transaction_duration_seconds = self._histogram(
            "transaction_duration_seconds", "deciding and persisting one event", "event"
        )
        self.commit_duration_seconds = self._histogram(
            "commit_duration_seconds", "from an event's arrival to its being durable", "event"
        )
        self.http_request_duration_seconds = self._histogram(
            "http_request_duration_seconds", "requests, long-polls without their waiting", "route", "code"
        )

    # ------------------------------------------------------------------------------------ declaring
    def _declare(self, kind: str, name: str, help_text: str, labels: tuple[str, ...]) -> str:
        full = f"nx_dte_{name}"
        self.declared.append(Declared(name=full, kind=kind, help_text=help_text, labels=labels))
        return full

    def _counter(self, name: str, help_text: str, *labels: str) -> Counter:
        full = self._declare("counter", name, help_text, labels)
        return Counter(full, help_text, labels, registry=self.registry)

    def _gauge(self, name: str, help_text: str, *labels: str) -> Gauge:
        full = self._declare("gauge", name, help_text, labels)
        return Gauge(full, help_text, labels, registry=self.state_registry)

    def _histogram(
        self, name: str, help_text: str, *labels: str, buckets: tuple[float, ...] = FAST
    ) -> Histogram:
        full = self._declare("histogram", name, help_text, labels)
        return Histogram(full, help_text, labels, buckets=buckets, registry=self.registry)

    # ---------------------------------------------------------------------------------------- using
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

    @staticmethod
    def preset(counter: Counter, label: str, values: Iterable[str]) -> None:
        """Show a counter's closed set of values from the start: a rate sees no first step from nothing to 1."""
        for value in values:
            counter.labels(**{label: value})

    def render(self) -> bytes:
        """The exposition that Prometheus scrapes."""
        return generate_latest(self.registry) + generate_latest(self.state_registry)

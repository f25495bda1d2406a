from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from nx_dte.telemetry import Metrics
from nx_dte.telemetry.metrics import MAX_TARGETS


def test_the_page_can_be_scraped_and_says_what_runs() -> None:
    page = Metrics(version="1.2.3", protocol=1).render().decode()

    samples = {
        sample.name: sample.labels
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }
    assert samples["nx_dte_build_info"] == {"version": "1.2.3", "protocol": "1"}
    assert all(name.startswith(("nx_dte_", "process_")) for name in samples)


def test_two_applications_in_one_process_do_not_share_counters() -> None:
    one, two = Metrics(version="1", protocol=1), Metrics(version="1", protocol=1)
    one.leases_expired_total.inc()

    assert b"nx_dte_leases_expired_total 1.0" in one.render()
    assert b"nx_dte_leases_expired_total 0.0" in two.render()


def test_a_gauge_and_the_counter_of_its_name_are_both_there() -> None:
    metrics = Metrics(version="1", protocol=1)
    metrics.set_states(metrics.ci_runs, {"open": 2})
    metrics.ci_runs_total.labels(outcome="failed").inc()

    page = metrics.render()
    assert b'nx_dte_ci_runs{state="open"} 2.0' in page
    assert b'nx_dte_ci_runs_total{outcome="failed"} 1.0' in page


def test_a_state_that_no_longer_occurs_goes_to_zero() -> None:
    metrics = Metrics(version="1", protocol=1)
    metrics.set_states(metrics.agents, {"joined": 3})
    metrics.set_states(metrics.agents, {"left": 3})

    assert b'nx_dte_agents{state="joined"} 0.0' in metrics.render()


def test_targets_beyond_the_first_ones_share_a_label() -> None:
    metrics = Metrics(version="1", protocol=1)
    first = [metrics.target_label(f"target-{number}") for number in range(MAX_TARGETS)]

    assert first == [f"target-{number}" for number in range(MAX_TARGETS)]
    assert metrics.target_label("one-more") == "other"
    assert metrics.target_label("target-0") == "target-0"

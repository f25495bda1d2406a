"""The alert rules: valid, tried out one by one, explained to whoever is woken, and on metrics that really are there."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.integration.coordinator.life import live_through_everything
from tests.support.promtool import promtool

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.coordinator.life import Start

__all__ = ["promtool"]
DATABASES = ["sqlite"]
PROMETHEUS_OWN = {"up"}


@pytest.fixture
def rules(repository_root: Path) -> list[dict[str, Any]]:
    """The alerts of the file."""
    loaded = yaml.safe_load((repository_root / "monitoring/alerts.yaml").read_text(encoding="utf-8"))
    return [rule for group in loaded["groups"] for rule in group["rules"]]


def _run(tool: str, *arguments: str, cwd: Path, text: str | None = None) -> None:
    done = subprocess.run(
        [tool, *arguments], cwd=cwd, input=text, capture_output=True, text=True, check=False, timeout=50
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert not text or said.strip() == "", said  # `check metrics` only warns


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_rules_do_what_their_cases_say(promtool: str, repository_root: Path) -> None:
    cases = sorted(str(file) for file in (repository_root / "monitoring/tests").glob("*_test.yaml"))
    assert cases
    _run(promtool, "check", "rules", "monitoring/alerts.yaml", cwd=repository_root)
    _run(promtool, "test", "rules", *cases, cwd=repository_root)


def test_each_alert_has_a_case_that_fires_and_one_that_is_silent(
    rules: list[dict[str, Any]], repository_root: Path
) -> None:
    fires: set[str] = set()
    is_silent: set[str] = set()
    for file in (repository_root / "monitoring/tests").glob("*_test.yaml"):
        for case in yaml.safe_load(file.read_text(encoding="utf-8"))["tests"]:
            (asked,) = case["promql_expr_test"]
            alert = re.findall(r'alertname="(\w+)"', asked["expr"])[0]
            (fires if asked["exp_samples"] else is_silent).add(alert)

    names = {rule["alert"] for rule in rules}
    assert fires == names
    assert is_silent == names


def test_each_alert_says_how_serious_it_is_and_where_to_read_on(
    rules: list[dict[str, Any]], repository_root: Path
) -> None:
    page = (repository_root / "docs/operations.md").read_text(encoding="utf-8")
    anchors = {heading.lower() for heading in re.findall(r"^#+ (\w+)$", page, re.MULTILINE)}
    for rule in rules:
        name = rule["alert"]
        assert rule["labels"]["severity"] in {"critical", "warning"}, name
        assert "for" in rule, name
        assert set(rule["annotations"]) == {"summary", "description", "runbook_url"}, name
        assert rule["annotations"]["runbook_url"] == f"docs/operations.md#{name.lower()}"
        assert name.lower() in anchors, f"docs/operations.md has no section {name}"


@pytest.mark.slow
async def test_a_real_coordinator_shows_every_metric_that_an_alert_looks_at(
    start: Start, rules: list[dict[str, Any]], promtool: str, repository_root: Path
) -> None:
    counts, page = await live_through_everything(start)

    _run(promtool, "check", "metrics", cwd=repository_root, text=page)
    shown = {name for name, _ in counts}
    for rule in rules:
        named = set(re.findall(r"\b(nx_dte_\w+|up)\b", rule["expr"]))
        assert named - PROMETHEUS_OWN - shown == set(), rule["alert"]
        for name, label, value in re.findall(r'(nx_dte_\w+)\{(\w+)="(\w+)"', rule["expr"]):
            pairs = {pair for shown_name, labels in counts if shown_name == name for pair in labels}
            assert name.startswith("nx_dte_oldest") or (label, value) in pairs, (rule["alert"], name, value)

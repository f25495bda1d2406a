"""With CI=true a skipped test is a failure, unless tests/skips.toml lists it with a reason.

A skip hides that something was not checked. On a developer's machine that may be fine; in CI it must be a decision that
somebody wrote down.
"""

import os
import tomllib
from collections.abc import Generator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

SKIPS_FILE = "tests/skips.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class AllowedSkip:
    """One test, or a pattern of tests, that may be skipped in CI, and why."""

    test: str
    reason: str

    def covers(self, node_id: str) -> bool:
        """Whether this entry speaks of the test (its parameters may be left out)."""
        return any(
            candidate == self.test or fnmatchcase(candidate, self.test)
            for candidate in (node_id, node_id.partition("[")[0])
        )


def read_allowed_skips(file: Path) -> list[AllowedSkip]:
    """The list from the file; an entry without a reason is refused."""
    if not file.exists():
        return []
    entries = tomllib.loads(file.read_text(encoding="utf-8")).get("skip", [])
    allowed = [AllowedSkip(test=entry["test"], reason=entry.get("reason", "").strip()) for entry in entries]
    for entry in allowed:
        if not entry.reason:
            raise pytest.UsageError(f"{file}: the entry for {entry.test} gives no reason")
    return allowed


class SkipPolicy:
    """The plugin: turns unlisted skips into failures."""

    def __init__(self, allowed: list[AllowedSkip]) -> None:
        self._allowed = allowed

    def _judge(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        """Make a skip that nobody allowed a failure.

        An expected failure is reported as skipped, too; that is not this policy's business.
        """
        if report.outcome != "skipped" or hasattr(report, "wasxfail"):
            return
        if any(entry.covers(report.nodeid) for entry in self._allowed):
            return
        why = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = (
            f"{report.nodeid} was skipped ({why}). With CI=true that is a failure: "
            f"make it run, or list it with its reason in {SKIPS_FILE}."
        )

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Judge the report of a test's set-up, call or end."""
        report = yield
        self._judge(report)
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(self) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Judge a whole file that skips itself while it is read."""
        report = yield
        self._judge(report)
        return report


def pytest_configure(config: pytest.Config) -> None:
    """Switch the policy on where it applies."""
    if os.environ.get("CI", "").lower() == "true":
        allowed = read_allowed_skips(config.rootpath / SKIPS_FILE)
        config.pluginmanager.register(SkipPolicy(allowed), "skip-policy")

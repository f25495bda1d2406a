"""The `nx-cloud …` commands around a run, with the real loader."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.nx_results import RUN_FILE, read_results
from tests.support.processes import wait_until
from tests.support.stage import JOB_END_S, QUICK, START_CI_RUN

if TYPE_CHECKING:
    from tests.support.stage import Stage

pytestmark = pytest.mark.timeout(200)


def test_what_is_known_is_answered_and_what_is_not_is_an_error(shared_stage: Stage) -> None:
    script = [
        "yarn nx-cloud fix-ci",
        "yarn nx-cloud upload-agent-metrics",
        "yarn nx-cloud cleanup",
        f"{START_CI_RUN} --assignment-rules=rules.yaml --agent-count 3 --no-distribution",
        "yarn nx-cloud complete-ci-run",
        'yarn nx-cloud start-ci-run --distribute-on="3 linux-medium-js" || echo "refused with $?"',
        'yarn nx-cloud start-ci-run --no-such-flag || echo "refused with $?"',
        'yarn nx-cloud stop-all-agents && echo "stopped again"',
    ]
    coordinator = shared_stage.coordinator()
    pipeline = shared_stage.pipeline(shared_stage.origin(), {**QUICK, **coordinator.variables()})
    main = pipeline.start(pipeline.prepare("nx-dte", script))

    assert main.wait(JOB_END_S) == 0, main.log
    for name in ("fix-ci", "upload-agent-metrics", "cleanup"):
        assert f"{name}: nothing to do here" in main.log
    assert (
        "ignored, they have no meaning here: --assignment-rules, --agent-count, --no-distribution" in main.log
    )
    assert 'only "manual" is supported' in main.log
    assert 'unknown argument "--no-such-flag"' in main.log
    assert [line.text for line in main.lines].count("refused with 1") == 2
    assert "stopped again" in main.log


def test_a_coordinator_gone_between_two_commands_costs_its_patience_once(stage: Stage) -> None:
    """The bundle is cached, so it is our code that finds nobody: the command runs here, every task of it at once."""
    script = [START_CI_RUN, "until test -e gone; do sleep 0.1; done", "yarn nx run-many -t lint --parallel=2"]
    coordinator = stage.coordinator()
    variables = {**QUICK, **coordinator.variables(), "NX_DTE_COORDINATOR_LOST_S": "10"}
    pipeline = stage.pipeline(stage.origin(), variables)
    main = pipeline.start(pipeline.prepare("nx-dte", script))
    wait_until(lambda: "is open" in main.log, 60, "the CI run is open")

    coordinator.kill()
    (main.spec.clone.path / "gone").touch()

    assert main.wait(60) == 0, main.log
    assert "WARNING: this command runs here, not on agents" in main.log
    results = read_results(main.spec.clone.path / RUN_FILE)
    assert len(results) == 9
    assert {result.code for result in results.values()} == {0}

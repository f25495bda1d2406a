"""The example workspace in its variants, and what plain nx makes of each: the measure of every round."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nx_dte.demo.pipeline import Pipeline
from nx_dte.demo.recipe import PLAIN_VARIABLES
from tests.support.compare import Snapshot, snapshot_tree
from tests.support.nx_results import RUN_FILE, TaskResult, read_results, sections, terminal_outputs
from tests.support.stage import JOB_END_S, affected

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from nx_dte.demo.layout import Layout
    from nx_dte.demo.workspace import Origin
    from tests.chaos.schedule import Scenario

__all__ = ["PlainRun", "PlainRuns", "commands_of"]

_PIPELINE_IDS = itertools.count(100)
_PLAIN_PACE = {"NX_DTE_EXAMPLE_PACE": "0.02"}
# muster:test asks the coordinator itself, so a fault would be the task's own failure.
_CHANGES: dict[str, str | None] = {
    "tools/release.json": '{ "release": "1.6.0" }\n',
    "muster/project.json": None,
}
_FAILING = {
    "tools/release.json": '{ "release": "1.6.1" }\n',
    "libs/data/faults.json": json.dumps({"test": {"exitCode": 3, "message": "data does not pass"}}) + "\n",
    "apps/api/faults.json": json.dumps({"build": {"exitCode": 1, "message": "api cannot be built"}}) + "\n",
}


def commands_of(scenario: Scenario) -> list[str]:
    """The `nx` lines of the main job. The last one covers every task."""
    everything = affected("lint,test,build,e2e-ci", f"--parallel={scenario.parallel}")
    first = f"yarn nx run-many -t lint --parallel={scenario.parallel}"
    return [everything] if scenario.commands == 1 else [first, everything]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlainRun:
    """How plain nx ended: exit code, each task's result and output, every file."""

    code: int
    results: dict[str, TaskResult]
    outputs: dict[str, str]
    tree: Snapshot


@dataclass(slots=True, kw_only=True)
class PlainRuns:
    """Runs each variant once and remembers it."""

    layout: Layout
    origin: Origin
    folder: Path
    _variants: dict[bool, Origin] = field(default_factory=dict)
    _runs: dict[tuple[bool, int], PlainRun] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    def variant(self, scenario: Scenario) -> Origin:
        """The commit a round checks: everything is affected; in a red round two tasks fail."""
        if scenario.is_red not in self._variants:
            changes = _CHANGES | (_FAILING if scenario.is_red else {})
            self._variants[scenario.is_red] = self.origin.commit(changes)
        return self._variants[scenario.is_red]

    def run(self, scenario: Scenario) -> PlainRun:
        """What plain nx does with a round's commands."""
        key = (scenario.is_red, scenario.commands)
        if key not in self._runs:
            self._runs[key] = self._run(scenario)
        return self._runs[key]

    def _run(self, scenario: Scenario) -> PlainRun:
        script = commands_of(scenario)
        with Pipeline(
            layout=self.layout,
            origin=self.variant(scenario),
            folder=self.folder / f"plain-{next(self._numbers)}",
            pipeline_id=next(_PIPELINE_IDS),
            variables=_PLAIN_PACE | PLAIN_VARIABLES,
        ) as pipeline:
            job = pipeline.start(pipeline.prepare("plain", script))
            code = job.wait(JOB_END_S)
        clone = job.spec.clone.path
        return PlainRun(
            code=code,
            results=read_results(clone / RUN_FILE),
            outputs=terminal_outputs(sections(job.log, script)[-1]),
            tree=snapshot_tree(clone),
        )

"""What distribution costs where it can gain nothing: many near-empty tasks, main and agents sharing one machine.

Plain `nx` and the distributed run take turns, so that a machine whose speed drifts slows both; ratios are of each pair.
"""

from __future__ import annotations

import json
import shutil
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nx_dte.demo import recipe
from nx_dte.demo.coordinator import CoordinatorProcess
from nx_dte.demo.layout import Layout, find_layout
from nx_dte.demo.pipeline import Pipeline
from nx_dte.demo.workspace import Origin, install_dependencies, make_origin

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Pair", "run"]

TARGETS = ("first", "second", "third")
JOB_TIMEOUT_S = 300.0
_ECHO = "$ yarn nx run-many"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """One plain and one distributed run of the same tasks, in seconds of the `nx` command alone."""

    plain_s: float
    distributed_s: float

    @property
    def ratio(self) -> float:
        """Distributed over plain: 1 means that distributing costs nothing."""
        return self.distributed_s / self.plain_s


def run(*, projects: int = 200, agents: int = 3, pairs: int = 3) -> None:
    """Measure and print."""
    layout = find_layout()
    node_modules = install_dependencies(layout)
    folder = Path(tempfile.mkdtemp(prefix="nx-dte-bench-"))
    try:
        origin = make_origin(layout, folder, node_modules).commit(_projects(projects))
        bench = _Bench(layout=layout, folder=folder, origin=origin, agents=agents)
        measured = [bench.pair(number) for number in range(pairs)]
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    tasks = projects * len(TARGETS)
    print(
        f"{tasks} near-empty tasks, {agents} agents x {recipe.PARALLEL} on this machine, {pairs} pairs, medians"
    )
    print(f"  plain nx            {_median(pair.plain_s for pair in measured):7.1f} s")
    print(f"  distributed         {_median(pair.distributed_s for pair in measured):7.1f} s")
    print(f"  distributed ÷ plain {_median(pair.ratio for pair in measured):7.2f}")
    print(
        f"  above plain, a task {_median(1000 * (p.distributed_s - p.plain_s) / tasks for p in measured):7.1f} ms"
    )


def _median(figures: Iterable[float]) -> float:
    return statistics.median(figures)


def _projects(count: int) -> dict[str, str | None]:
    """Projects whose tasks write one small file each and take no time; `third` depends on the two others."""

    def target(name: str, index: int) -> dict[str, object]:
        out = f"dist/bench/p{index}/{name}"
        return {
            "executor": "nx:run-commands",
            "cache": True,
            "dependsOn": ["first", "second"] if name == "third" else [],
            "outputs": [f"{{workspaceRoot}}/{out}"],
            "options": {"command": f"mkdir -p {out} && echo {name} > {out}/file"},
        }

    return {
        f"bench/p{index}/project.json": json.dumps(
            {"name": f"p{index}", "targets": {name: target(name, index) for name in TARGETS}}
        )
        for index in range(count)
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bench:
    layout: Layout
    folder: Path
    origin: Origin
    agents: int

    def pair(self, number: int) -> Pair:
        """One run of each, in fresh clones."""
        command = f"yarn nx run-many -t {','.join(TARGETS)} --parallel={recipe.PARALLEL} > run-many.log 2>&1"
        plain = self._pipeline(f"plain-{number}", {})
        with plain:
            plain_s = self._timed(plain, [command], agents=0)
        with CoordinatorProcess(folder=self.folder / f"coordinator-{number}") as coordinator:
            distributed = self._pipeline(f"distributed-{number}", coordinator.variables())
            with distributed:
                start = 'yarn nx-cloud start-ci-run --distribute-on="manual" --stop-agents-after=third'
                distributed_s = self._timed(distributed, [start, command], agents=self.agents)
        return Pair(plain_s=plain_s, distributed_s=distributed_s)

    def _pipeline(self, name: str, variables: dict[str, str]) -> Pipeline:
        return Pipeline(
            layout=self.layout,
            origin=self.origin,
            folder=self.folder / name,
            pipeline_id=9000 + sum(map(ord, name)),
            variables=variables,
        )

    @staticmethod
    def _timed(pipeline: Pipeline, script: list[str], *, agents: int) -> float:
        agent_specs = pipeline.prepare_agents(agents)
        main_spec = pipeline.prepare("main", script)
        started = [pipeline.start(spec) for spec in agent_specs]
        main = pipeline.start(main_spec)
        code = main.wait(JOB_TIMEOUT_S)
        for agent in started:
            agent.wait(JOB_TIMEOUT_S)
        if code != 0 or main.ended_at is None:
            log = main_spec.clone.path / "run-many.log"
            raise RuntimeError(
                f"the benchmark's run ended with {code}:\n{main.log}\n{log.read_text('utf-8')}"
            )
        begun = max(line.at for line in main.lines if line.text.startswith(_ECHO))
        return main.ended_at - begun

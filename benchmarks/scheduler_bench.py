"""The scheduler alone: what a submit, a claim and a report cost, and how near its schedules come to the bound.

No store and no network: decisions only, on slices that are already in memory. Makespans are simulated on a virtual
clock with durations of the seeded generator, so they are the same on every machine.
"""

import random
import statistics
from collections import defaultdict
from collections.abc import Callable
from itertools import count
from time import perf_counter

from nx_dte.coordinator.scheduler import events, state
from nx_dte.coordinator.scheduler.context import Context
from nx_dte.coordinator.scheduler.decide import decide
from tests.unit.scheduler.simulation import simulate
from tests.unit.scheduler.world import START, World, task

__all__ = ["run"]

Graph = list[events.SubmittedTask]


def wide(tasks: int) -> Graph:
    """A layer of builds, and a test for each."""
    half = tasks // 2
    return [task(f"p{n}:build") for n in range(half)] + [
        task(f"p{n}:test", f"p{n}:build") for n in range(half)
    ]


def deep(tasks: int, width: int = 10) -> Graph:
    """Layers of ten; each task needs two of the layer before."""
    graph: Graph = []
    for number in range(tasks):
        layer, place = divmod(number, width)
        needed = (
            [f"p{(layer - 1) * width + (place + step) % width}:build" for step in (0, 3)] if layer else []
        )
        graph.append(task(f"p{number}:build", *needed))
    return graph


def tangled(tasks: int) -> Graph:
    """A library graph: each project builds on up to three earlier ones."""
    draw = random.Random(7)  # noqa: S311 - the same graph every time
    graph: Graph = [task("p0:build")]
    for number in range(1, tasks):
        needed = draw.sample(range(max(0, number - 40), number), k=min(number, draw.randint(0, 3)))
        graph.append(task(f"p{number}:build", *(f"p{other}:build" for other in needed)))
    return graph


def submit_cost_s(graph: Graph) -> float:
    """The best of three decisions on the same submission."""
    world = World(is_checking=False)
    slice_ = state.SubmitSlice(run=world.open(), existing=None)
    event = events.InvocationSubmitted(
        invocation_key="k", command="nx run-many", targets=("build",), parallel=3, tasks=tuple(graph)
    )
    return min(_seconds(lambda: decide(slice_, event, _context())) for _ in range(3))


def report_and_claim_cost_s() -> tuple[float, float]:
    """Medians over a run of 400 tasks: the decision alone, its slice loaded beforehand."""
    world = _TimedWorld(is_checking=False)
    world.spent = defaultdict(list)
    world.open()
    world.submit(*wide(400), parallel=3)
    world.work_off([world.join(f"agent-{number}") for number in range(3)])
    return statistics.median(world.spent["TaskReported"]), statistics.median(world.spent["TasksClaimed"])


class _TimedWorld(World):
    """Remembers what each decision took, the in-memory store's own work included only for facts."""

    spent: defaultdict[str, list[float]]

    def happens(self, slice_: object, event: object) -> object:
        began = perf_counter()
        answer = super().happens(slice_, event)
        self.spent[type(event).__name__].append(perf_counter() - began)
        return answer


def _context() -> Context:
    ids = count()
    return Context(now=START, new_id=lambda: f"{next(ids):06}")


def _seconds(action: Callable[[], object]) -> float:
    began = perf_counter()
    action()
    return perf_counter() - began


def _makespans() -> None:
    draw = random.Random(11)  # noqa: S311 - the same durations every time
    print("makespan ÷ lower bound, durations 0.2 to 20 s, 3 agents of 2 slots: learned before / unknown")
    for name, graph in (("wide", wide(300)), ("deep", deep(300)), ("tangled", tangled(300))):
        durations = {one.task_id: draw.uniform(0.2, 20.0) for one in graph}
        learned, unknown = (
            simulate(graph, durations, agents=3, parallel=2, known=known) for known in (True, False)
        )
        print(f"  {name:8} 300 tasks  {learned.ratio:.3f} / {unknown.ratio:.3f}")


def run() -> None:
    """Print the figures."""
    print("submit of 10,000 tasks, decision only")
    for name, graph in (("wide", wide(10_000)), ("deep", deep(10_000)), ("tangled", tangled(10_000))):
        print(f"  {name:8} {submit_cost_s(graph) * 1000:7.0f} ms")
    report_s, claim_s = report_and_claim_cost_s()
    print(
        f"report {report_s * 1e6:.0f} µs, claim {claim_s * 1e6:.0f} µs (medians, applying facts to dicts included)"
    )
    _makespans()


if __name__ == "__main__":
    run()

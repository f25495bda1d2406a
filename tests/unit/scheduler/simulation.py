"""A run simulated on a virtual clock: agents that claim, work for as long as a task takes, and report."""

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from nx_dte.coordinator.scheduler.events import SubmittedTask
from nx_dte.model.duration import DurationKey
from nx_dte.model.ids import LeaseId, TaskId
from tests.unit.scheduler.world import START, World


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulated:
    """What a run took, and what no schedule could have beaten."""

    makespan_s: float
    bound_s: float

    @property
    def ratio(self) -> float:
        """1 is perfect; list scheduling never exceeds 2."""
        return self.makespan_s / self.bound_s if self.bound_s else 1.0


def simulate(
    tasks: Sequence[SubmittedTask],
    duration_s: Mapping[TaskId, float],
    *,
    agents: int,
    parallel: int,
    known: bool,
) -> Simulated:
    """Run it through; `known` says whether the durations were learned before."""
    world = World(is_checking=False)
    world.open()
    if known:
        keys = {one.task_id: DurationKey(one.project, one.target, one.configuration) for one in tasks}
        world.durations = {keys[task_id]: seconds for task_id, seconds in duration_s.items()}
    world.submit(*tasks, parallel=parallel)
    crew = [world.join(f"agent-{number}") for number in range(agents)]
    busy: list[tuple[float, LeaseId]] = []
    elapsed_s = 0.0
    while True:
        for agent_id in crew:
            for lease in world.claim(agent_id):
                heapq.heappush(busy, (elapsed_s + duration_s[lease.task_id], lease.lease_id))
        if not busy:
            break
        elapsed_s, lease_id = heapq.heappop(busy)
        # Leases never expire here: agents renew them, and that is not what is measured.
        world.now = START + timedelta(seconds=elapsed_s)
        assert world.report(world.leases[lease_id]).is_accepted
    assert all(value.outcome == "succeeded" for value in world.tasks.values())
    return Simulated(makespan_s=elapsed_s, bound_s=_bound(tasks, duration_s, agents * parallel))


def _bound(tasks: Sequence[SubmittedTask], duration_s: Mapping[TaskId, float], slots: int) -> float:
    """max(critical path, work ÷ slots); `tasks` come with dependencies first."""
    path: dict[TaskId, float] = {}
    for one in tasks:
        path[one.task_id] = duration_s[one.task_id] + max(
            (path[known] for known in one.dependencies), default=0.0
        )
    return max(max(path.values(), default=0.0), sum(duration_s.values()) / slots)

"""How good the schedules are: a simulated run always ends, within twice the lower bound."""

from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.scheduler.simulation import simulate
from tests.unit.scheduler.world import task

if TYPE_CHECKING:
    from nx_dte.coordinator.scheduler.events import SubmittedTask


@given(data=st.data())
@settings(max_examples=60, deadline=None, derandomize=True)
def test_every_run_ends_within_twice_the_bound(data: st.DataObject) -> None:
    tasks: list[SubmittedTask] = []
    for number in range(data.draw(st.integers(0, 25))):
        earlier = [one.task_id for one in tasks]
        needed = data.draw(st.lists(st.sampled_from(earlier), max_size=3, unique=True)) if earlier else []
        tasks.append(task(f"p{number}:t", *needed))
    durations = {one.task_id: data.draw(st.floats(0.01, 100)) for one in tasks}
    result = simulate(
        tasks,
        durations,
        agents=data.draw(st.integers(1, 4)),
        parallel=data.draw(st.integers(1, 3)),
        known=data.draw(st.booleans()),
    )
    assert result.ratio <= 2.0 + 1e-9


def test_the_critical_path_is_begun_first() -> None:
    """A long chain beside many short tasks: begun last, it would nearly double the run."""
    chain = [task("chain0:t"), *(task(f"chain{n}:t", f"chain{n - 1}:t") for n in range(1, 10))]
    short = [task(f"a{n}:t") for n in range(10)]
    durations = {one.task_id: 1.0 for one in (*chain, *short)}
    result = simulate([*short, *chain], durations, agents=2, parallel=1, known=False)
    assert result.makespan_s == result.bound_s == 10.0

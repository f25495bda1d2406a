import pytest
from hypothesis import given
from hypothesis import strategies as st

from nx_dte.demo.figures import TaskRun, critical_path, lower_bound_s, span_s, tasks_per_agent, work_s


def task(name: str, seconds: float, *after: str, agent: str | None = "a1", start: float = 0.0) -> TaskRun:
    return TaskRun(task_id=name, agent=agent, started_at=start, ended_at=start + seconds, dependencies=after)


DIAMOND = [
    task("app", 2, "ui", "data"),
    task("ui", 5, "util"),
    task("data", 1, "util"),
    task("util", 3),
    task("docs", 4),
]


def test_critical_path_is_the_longest_chain_in_order() -> None:
    assert [run.task_id for run in critical_path(DIAMOND)] == ["util", "ui", "app"]


def test_a_dependency_that_was_not_run_is_no_step_of_the_path() -> None:
    assert [run.task_id for run in critical_path([task("app", 2, "cached")])] == ["app"]


def test_the_bound_is_the_path_when_there_are_slots_enough() -> None:
    assert lower_bound_s(DIAMOND, slots=6) == 10


def test_the_bound_is_the_work_shared_when_slots_are_few() -> None:
    assert lower_bound_s(DIAMOND, slots=1) == work_s(DIAMOND) == 15


def test_a_run_of_nothing_has_no_length() -> None:
    assert critical_path([]) == ()
    assert span_s([]) == 0
    assert lower_bound_s([], slots=2) == 0


def test_no_slots_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one slot"):
        lower_bound_s(DIAMOND, slots=0)


def test_span_goes_from_the_first_start_to_the_last_end() -> None:
    assert span_s([task("b", 2, start=11), task("a", 5, start=10)]) == 5


def test_tasks_are_counted_by_agent_and_main_is_named() -> None:
    runs = [
        task("a", 1, agent="two"),
        task("b", 1, agent="one"),
        task("c", 1, agent="two"),
        task("d", 1, agent=None),
    ]
    assert tasks_per_agent(runs) == {"main": 1, "one": 1, "two": 2}


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30), st.integers(1, 8))
def test_no_list_schedule_beats_the_bound(seconds: list[int], slots: int) -> None:
    chain = [task(f"t{n}", s, *([f"t{n - 1}"] if n % 3 else [])) for n, s in enumerate(seconds)]
    free = [0.0] * slots
    ended: dict[str, float] = {}
    for run in chain:
        slot = min(range(slots), key=free.__getitem__)
        start = max([free[slot], *(ended[name] for name in run.dependencies)])
        free[slot] = ended[run.task_id] = start + run.duration_s
    assert lower_bound_s(chain, slots=slots) <= max(ended.values()) + 1e-9

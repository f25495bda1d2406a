"""What the values themselves promise."""

import dataclasses
import importlib
import pkgutil
from datetime import UTC, datetime
from enum import Enum

import pytest

from nx_dte import model
from nx_dte.model.agent import AgentState
from nx_dte.model.duration import DurationKey, Durations
from nx_dte.model.ids import CiRunId, InvocationId, TaskId
from nx_dte.model.run import CiRunState
from nx_dte.model.task import Task, TaskOutcome, TaskState

MODULES = [
    importlib.import_module(f"nx_dte.model.{module.name}") for module in pkgutil.iter_modules(model.__path__)
]
VALUES = [
    value
    for module in MODULES
    for value in vars(module).values()
    if isinstance(value, type) and value.__module__ == module.__name__ and dataclasses.is_dataclass(value)
]


def a_task(**more: object) -> Task:
    return dataclasses.replace(
        Task(
            invocation_id=InvocationId("i"),
            ci_run_id=CiRunId("r"),
            task_id=TaskId("a:b"),
            project="a",
            target="b",
            state=TaskState.READY,
        ),
        **more,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value.__name__)
def test_values_are_frozen_slotted_and_keyword_only(value: type) -> None:
    assert value.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert "__slots__" in vars(value)
    assert all(field.kw_only for field in dataclasses.fields(value))


def test_wire_values_of_enums_are_lower_case() -> None:
    enums = [
        value
        for module in MODULES
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Enum)
    ]
    members: list[Enum] = [member for enum in enums for member in enum.__members__.values()]
    assert members
    assert [str(member.value) for member in members] == [str(member.value).lower() for member in members]


def test_which_outcomes_let_dependents_run_and_which_fail_the_command() -> None:
    assert {outcome for outcome in TaskOutcome if outcome.is_well} == {
        TaskOutcome.SUCCEEDED,
        TaskOutcome.CACHED,
    }
    assert {outcome for outcome in TaskOutcome if outcome.is_failure} == {
        TaskOutcome.FAILED,
        TaskOutcome.LOST,
    }


def test_which_states_are_final() -> None:
    assert {state for state in CiRunState if state.is_over} == {CiRunState.FINISHED, CiRunState.ABANDONED}
    assert {state for state in AgentState if state.is_live} == {AgentState.JOINED, AgentState.DRAINING}


def test_a_task_has_a_result_once_it_has_an_outcome() -> None:
    assert a_task().result is None
    ended_at = datetime(2030, 1, 1, tzinfo=UTC)
    result = a_task(outcome=TaskOutcome.FAILED, code=3, outputs=("dist",), ended_at=ended_at).result
    assert result is not None
    assert (result.outcome, result.code, result.outputs, result.ended_at) == (
        TaskOutcome.FAILED,
        3,
        ("dist",),
        ended_at,
    )


@pytest.mark.parametrize(
    ("key", "expected_s"),
    [
        (DurationKey("a", "build", "production"), 7.0),
        (DurationKey("a", "build", None), 3.0),
        (DurationKey("a", "lint", None), 1.0),
    ],
)
def test_expectations_fall_back_from_history_to_median_to_default(
    key: DurationKey, expected_s: float
) -> None:
    durations = Durations(
        exact_s={DurationKey("a", "build", "production"): 7.0}, target_median_s={"build": 3.0}
    )
    assert durations.expect(key, default_s=1.0) == expected_s

"""The last lines of the main job's log."""

from __future__ import annotations

import pytest

from nx_dte.model.task import TaskOutcome
from nx_dte.summary import final_tasks, summary_lines
from nx_dte.summary.text import MAX_LINES
from tests.unit.summary.values import report, run, task


def test_a_green_run() -> None:
    tasks = (
        task("a:build", begins_s=0, takes_s=4, nx_status="local-cache"),
        task("b:build", begins_s=1, takes_s=5, agent_name="a2"),
        task("c:build", TaskOutcome.CACHED, nx_status="remote-cache"),
        task("d:test", attempt=2, takes_s=3),
    )
    assert summary_lines(report(*tasks)) == [
        "nx-dte: succeeded · CI run RUN (pipeline 70, attempt 1)",
        "  tasks    4: 3 succeeded, 1 from the cache",
        "  agents   2 joined; tasks run: a1 2, a2 1",
        "  cache    2 of 4 tasks were hits; 1 of them were found by an agent",
        "  time     6.0 s; one machine, a task at a time, takes 12.0 s: 2.0 times as fast",
        "  retried  d:test (2 attempts)",
        '  more     curl -H "authorization: $NX_CLOUD_ACCESS_TOKEN" http://c/api/v1/ci-runs/RUN/tasks',
    ]


def test_a_red_run_says_what_failed_why_and_how_to_run_it_again() -> None:
    failed = (
        task("a:test", TaskOutcome.FAILED, code=3),
        task("b:test", TaskOutcome.LOST, attempt=3),
        task("c:e2e", TaskOutcome.SKIPPED),
        task("d:e2e", TaskOutcome.CANCELLED),
        task("e:e2e", None),
    )
    steps = ("record `x` failed with exit code 2", "command `nx affected` failed with exit code 1")
    made = report(
        *failed,
        exit_code=2,
        failed_steps=steps,
        nx="yarn nx",
        outputs={"a:test": "> nx run a:test\n\n\x1b[31mError: 2 is not 3\x1b[0m\n"},
    )
    assert summary_lines(made) == [
        "nx-dte: failed with exit code 2 · CI run RUN (pipeline 70, attempt 1)",
        "  tasks    5: 1 failed, 1 lost with their agents, 1 skipped, 1 left to this job or cancelled, 1 not finished",
        "  agents   2 joined; tasks run: a1 1",
        "  time     1.0 s; one machine, a task at a time, takes 1.0 s",
        "  retried  b:test (3 attempts)",
        "  FAILED   record `x` failed with exit code 2",
        "  FAILED   command `nx affected` failed with exit code 1",
        "  FAILED   a:test (exit code 3 on a1)",
        "           Error: 2 is not 3",
        "  FAILED   b:test (the agents that ran it were lost, 3 in all)",
        "  again    yarn nx run a:test",
        "  again    yarn nx run b:test",
        '  more     curl -H "authorization: $NX_CLOUD_ACCESS_TOKEN" http://c/api/v1/ci-runs/RUN/tasks',
    ]


def test_a_run_without_tasks_and_agents() -> None:
    made = report(run=run(agents_joined=0))
    assert summary_lines(made)[1:] == ["  tasks    none were distributed", "  agents   none joined"]


def test_with_everything_in_it_it_is_still_short() -> None:
    tasks = [
        task(f"p{number}:test", TaskOutcome.FAILED, attempt=2, agent_name=f"a{number}")
        for number in range(40)
    ]
    hit = task("q:build", TaskOutcome.CACHED)
    made = report(
        hit,
        *tasks,
        exit_code=1,
        failed_steps=tuple(f"step {number}" for number in range(9)),
        outputs={each.task_id: "Error: no\n" for each in tasks},
    )
    lines = summary_lines(made)
    assert len(lines) <= MAX_LINES
    assert lines[-1].startswith("  more ")
    assert "           … and 36 more tasks" in lines
    assert "           … and 6 more steps" in lines
    assert lines[2].endswith("a13 1, a14 1, a15 1 and 32 more")


@pytest.mark.parametrize(
    ("seconds", "spoken"), [(0.04, "0.0 s"), (59.9, "59.9 s"), (75, "1 m 15 s"), (3725, "1 h 2 m 5 s")]
)
def test_times_as_people_say_them(seconds: float, spoken: str) -> None:
    assert f"  time     {spoken};" in summary_lines(report(task("a:b", takes_s=seconds)))[3]


# ---------------------------------------------------------------------------------- final tasks
def test_a_task_of_several_commands_counts_once_with_its_last_end() -> None:
    first, again = task("a:build"), task("a:build", TaskOutcome.CACHED, invocation_id="LATER")
    other = task("a:aaa")
    assert final_tasks([first, again, other]) == (other, again)


def test_a_failure_is_not_hidden_by_a_later_hit_but_told_as_it_was_last() -> None:
    failed = task("a:build", TaskOutcome.FAILED)
    later = task("a:build", TaskOutcome.LOST)
    assert final_tasks([failed, task("a:build", TaskOutcome.CACHED)]) == (failed,)
    assert final_tasks([task("a:build"), failed, later]) == (later,)

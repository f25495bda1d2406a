"""The report in GitLab's Tests tab, read as GitLab reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree as ET

from hypothesis import given
from hypothesis import strategies as st

from nx_dte.model.task import TaskOutcome
from nx_dte.summary import RunReport, junit_xml
from tests.unit.summary.values import report, task

GITLAB_SHOWS = 80


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A test case as GitLab keeps it."""

    suite: str
    classname: str
    name: str
    file: str | None
    time: float
    status: str
    output: Any


def read(xml: str) -> list[Case]:
    """GitLab turns an element into its text if it has some, else into its attributes; `failure` wins over `skipped`."""
    root = ET.fromstring(xml)
    assert root.tag == "testsuites"
    cases = []
    for suite in root.findall("testsuite"):
        for case in suite.findall("testcase"):
            found = next(
                (each for each in (case.find("failure"), case.find("skipped")) if each is not None), None
            )
            output = None
            if found is not None:
                output = found.text if found.text and found.text.strip() else dict(found.attrib)
            cases.append(
                Case(
                    suite=suite.attrib["name"],
                    classname=case.attrib["classname"],
                    name=case.attrib["name"],
                    file=case.get("file"),
                    time=float(case.attrib["time"]),
                    status="success" if found is None else found.tag,
                    output=output,
                )
            )
        counted = {"tests": len(suite), "failures": len(suite.findall("*/failure"))}
        assert {name: int(suite.attrib[name]) for name in counted} == counted
    return cases


def cases_of(*tasks: Any, **other: Any) -> dict[str, Case]:
    made: RunReport = report(*tasks, **other)
    return {f"{case.name}:{case.classname}": case for case in read(junit_xml(made))}


def test_a_suite_for_each_target_and_a_case_for_each_project() -> None:
    cases = cases_of(
        task("shop:build:production", takes_s=2.5),
        task("ui:build"),
        task("ui:test", TaskOutcome.CACHED),
        roots={"ui": "libs/ui"},
    )
    assert {name: (case.suite, case.time, case.status) for name, case in cases.items()} == {
        "shop:build:production": ("build:production", 2.5, "success"),
        "ui:build": ("build", 1.0, "success"),
        "ui:test": ("test", 0.0, "success"),
    }
    assert [case.file for case in cases.values()] == ["libs/ui", None, "libs/ui"]


def test_a_failure_says_what_why_and_where_first_then_the_end_of_its_output() -> None:
    output = "".join(f"line {number}\n" for number in range(300)) + "Error: <&> 2 is not 3\nbye\n"
    (case,) = cases_of(
        task("a:test", TaskOutcome.FAILED, code=3), nx="yarn nx", outputs={"a:test": output}
    ).values()
    assert case.status == "failure"
    lines = case.output.split("\n")
    assert lines[:5] == [
        "a:test: exit code 3 on a1",
        "Error: <&> 2 is not 3",
        "again: yarn nx run a:test",
        'more: curl -H "authorization: $NX_CLOUD_ACCESS_TOKEN" http://c/api/v1/ci-runs/RUN/tasks',
        "",
    ]
    assert lines[-2:] == ["Error: <&> 2 is not 3", "bye"]
    assert len(lines) <= GITLAB_SHOWS


def test_what_did_not_run_is_skipped_and_says_why() -> None:
    cases = cases_of(task("a:t", TaskOutcome.SKIPPED), task("b:t", TaskOutcome.CANCELLED), task("c:t", None))
    assert {case.status for case in cases.values()} == {"skipped"}
    assert "depends on" in cases["a:t"].output
    assert "main job's log" in cases["b:t"].output
    assert "not finished" in cases["c:t"].output


def test_a_lost_task_and_a_failure_whose_output_is_gone_are_never_without_words() -> None:
    cases = cases_of(task("a:t", TaskOutcome.LOST, attempt=3), task("b:t", TaskOutcome.FAILED), url=None)
    assert cases["a:t"].output.startswith("a:t: the agents that ran it were lost, 3 in all\n")
    assert cases["b:t"].output.startswith("b:t: exit code 1 on a1\n")
    assert "could not be had" in cases["b:t"].output


@given(output=st.text(), name=st.text(min_size=1).filter(lambda text: ":" not in text))
def test_whatever_a_task_is_called_and_prints_the_report_can_be_read(output: str, name: str) -> None:
    made = report(
        task("a:test", TaskOutcome.FAILED, project=name, agent_name=name),
        outputs={"a:test": output},
        roots={name: name},
    )
    (case,) = read(junit_xml(made))
    assert isinstance(case.output, str)

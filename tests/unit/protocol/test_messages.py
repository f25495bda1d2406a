from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from nx_dte.protocol.agents import Claim, Report
from nx_dte.protocol.runs import OpenCiRun, SubmitInvocation


def test_a_newer_client_may_send_more() -> None:
    opened = OpenCiRun.model_validate({"ci_id": "1", "job_id": "2", "invented_later": True})

    assert opened.stop_agents_on_failure is True


def test_defaults_are_those_of_the_documents() -> None:
    submitted = SubmitInvocation.model_validate(
        {
            "invocation_key": "k",
            "command": "nx run a:b",
            "parallel": 3,
            "tasks": [{"task_id": "a:b", "project": "a", "target": "b"}],
        }
    )

    task = submitted.tasks[0]
    assert (task.cacheable, task.parallelism, task.noop, task.hit) == (True, True, False, None)


@pytest.mark.parametrize("wait_s", [-1, 25.5, float("nan"), float("inf")])
def test_waiting_is_bounded(wait_s: float) -> None:
    with pytest.raises(ValidationError):
        Claim(wait_s=wait_s)


@pytest.mark.parametrize(
    "change",
    [
        {"outcome": "cancelled"},
        {"attempt": 0},
        {"artifact_id": "../../etc/passwd"},
        {"artifact_id": "A" * 64},
        {"started_at": "2026-01-01T00:00:00"},
        {"code": 2**40},
    ],
)
def test_a_report_is_checked(change: dict[str, Any]) -> None:
    good = {
        "lease_id": "L",
        "attempt": 1,
        "outcome": "succeeded",
        "code": 0,
        "artifact_id": "a" * 64,
        "started_at": "2026-01-01T00:00:00Z",
        "ended_at": "2026-01-01T00:00:01Z",
    }
    Report.model_validate(good)

    with pytest.raises(ValidationError):
        Report.model_validate({**good, **change})

"""Pipelines: which jobs they hold, in which order they run, and what Retry and Cancel do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.gitlab.driver import HandRunner, jobs_of, states, take_all

if TYPE_CHECKING:
    from tests.support.gitlab.server import StandIn
    from tests.support.gitlab.work_tree import WorkTree

NX = """
workflow: {rules: [{when: always}]}
stages: [affected]
guard: {stage: .pre, script: [guard]}
main: {stage: affected, needs: [guard], script: [main]}
agent:
  stage: affected
  needs: [guard]
  parallel: 2
  script: [agent]
  allow_failure: {exit_codes: [75, 77]}
  retry: {max: 2, exit_codes: [76], when: [stuck_or_timeout_failure]}
"""


@pytest.fixture
def runner(gitlab: StandIn, tree: WorkTree) -> HandRunner:
    assert tree.head
    return HandRunner(gitlab, gitlab.add_runner(run_untagged=True))


def retry(gitlab: StandIn, pipeline_id: int) -> None:
    gitlab.call("POST", f"/projects/acme%2Fshop/pipelines/{pipeline_id}/retry")


def status(gitlab: StandIn, pipeline_id: int) -> str:
    found: str = gitlab.call("GET", f"/projects/acme%2Fshop/pipelines/{pipeline_id}")["status"]
    return found


def test_stages_run_one_after_the_other_and_a_failure_skips_the_rest(
    gitlab: StandIn, runner: HandRunner
) -> None:
    pipeline_id = gitlab.start_pipeline(
        "acme/shop",
        ci_file="""
stages: [one, two, three]
a: {stage: one, script: [x]}
b: {stage: two, script: [x]}
allowed: {stage: two, script: [x], allow_failure: true}
c: {stage: three, script: [x]}
always: {stage: three, script: [x], when: always}
mourner: {stage: three, script: [x], when: on_failure}
""",
    )
    assert states(gitlab, pipeline_id)["b"] == "created"
    runner.run(("a", 0))
    runner.run(("b", 1), ("allowed", 1))
    assert states(gitlab, pipeline_id) == {
        "a": "success", "b": "failed", "allowed": "failed", "c": "skipped", "always": "pending",
        "mourner": "pending",
    }  # fmt: skip
    runner.run(("always", 0), ("mourner", 0))
    assert status(gitlab, pipeline_id) == "failed"


def test_an_allowed_failure_lets_the_next_stage_start(gitlab: StandIn, runner: HandRunner) -> None:
    pipeline_id = gitlab.start_pipeline(
        "acme/shop",
        ci_file="""
stages: [one, two]
a: {stage: one, script: [x], allow_failure: {exit_codes: [77]}}
b: {stage: two, script: [x]}
""",
    )
    runner.run(("a", 77))
    runner.run(("b", 0))
    assert status(gitlab, pipeline_id) == "success"
    other = gitlab.start_pipeline(
        "acme/shop", ci_file="a: {script: [x], allow_failure: {exit_codes: [77]}}\n"
    )
    runner.run(("a", 1))
    assert status(gitlab, other) == "failed"


def test_needs_start_jobs_before_their_stage(gitlab: StandIn, runner: HandRunner) -> None:
    pipeline_id = gitlab.start_pipeline(
        "acme/shop",
        ci_file="""
stages: [one, two]
slow: {stage: one, script: [x]}
quick: {stage: one, script: [x], parallel: 2}
after: {stage: two, script: [x], needs: [quick]}
at_once: {stage: two, script: [x], needs: []}
later: {stage: two, script: [x]}
""",
    )
    taken = take_all(runner)
    assert set(taken) == {"slow", "quick 1/2", "quick 2/2", "at_once"}
    runner.end(taken["quick 1/2"])
    assert states(gitlab, pipeline_id)["after"] == "created"
    runner.end(taken["quick 2/2"])
    assert states(gitlab, pipeline_id)["after"] == "pending"
    assert states(gitlab, pipeline_id)["later"] == "created"


def test_parallel_jobs_know_their_index(gitlab: StandIn, runner: HandRunner) -> None:
    gitlab.start_pipeline("acme/shop", ci_file="agent: {script: [x], parallel: 3}\n")
    seen = set()
    for job in take_all(runner).values():
        values = {item["key"]: item["value"] for item in job["variables"]}
        seen.add((values["CI_JOB_NAME"], values["CI_NODE_INDEX"], values["CI_NODE_TOTAL"]))
    assert seen == {("agent 1/3", "1", "3"), ("agent 2/3", "2", "3"), ("agent 3/3", "3", "3")}


def test_pipeline_retry_clones_what_failed_allowed_failures_too(gitlab: StandIn, runner: HandRunner) -> None:
    pipeline_id = gitlab.start_pipeline("acme/shop", ci_file=NX)
    runner.run(("guard", 0))
    runner.run(("main", 1), ("agent 1/2", 77), ("agent 2/2", 0))
    assert status(gitlab, pipeline_id) == "failed"
    before = {job["name"]: job for job in jobs_of(gitlab, pipeline_id)}
    retry(gitlab, pipeline_id)
    after = {job["name"]: job for job in jobs_of(gitlab, pipeline_id)}
    assert {name for name in after if after[name]["id"] != before[name]["id"]} == {"main", "agent 1/2"}
    assert after["main"]["created_at"] > before["agent 2/2"]["finished_at"]
    # Both clones were there before either could start.
    assert states(gitlab, pipeline_id) == {
        "guard": "success", "main": "pending", "agent 1/2": "pending", "agent 2/2": "success",
    }  # fmt: skip
    assert len(jobs_of(gitlab, pipeline_id, with_retried=True)) == 6
    runner.run(("main", 0), ("agent 1/2", 0))
    assert status(gitlab, pipeline_id) == "success"


def test_pipeline_retry_looks_at_skipped_jobs_again(gitlab: StandIn, runner: HandRunner) -> None:
    pipeline_id = gitlab.start_pipeline(
        "acme/shop",
        ci_file="""
stages: [one, two]
a: {stage: one, script: [x]}
b: {stage: two, script: [x]}
""",
    )
    runner.run(("a", 1))
    assert states(gitlab, pipeline_id) == {"a": "failed", "b": "skipped"}
    skipped_id = jobs_of(gitlab, pipeline_id)[-1]["id"]
    retry(gitlab, pipeline_id)
    assert states(gitlab, pipeline_id) == {"a": "pending", "b": "created"}
    runner.run(("a", 0))
    assert runner.take()["id"] == skipped_id


def test_one_job_is_retried_alone_even_a_green_one(gitlab: StandIn, runner: HandRunner) -> None:
    pipeline_id = gitlab.start_pipeline("acme/shop", ci_file=NX)
    runner.run(("guard", 0))
    runner.run(("main", 0), ("agent 1/2", 0), ("agent 2/2", 0))
    agent = next(job for job in jobs_of(gitlab, pipeline_id) if job["name"] == "agent 2/2")
    clone = gitlab.call("POST", f"/projects/acme%2Fshop/jobs/{agent['id']}/retry")
    assert (clone["name"], clone["status"]) == ("agent 2/2", "pending")
    job = runner.take()
    assert job["id"] == clone["id"] > agent["id"]
    assert job["token"] != agent.get("token")
    again = gitlab.api.post(f"/projects/acme%2Fshop/jobs/{agent['id']}/retry")
    assert again.status_code == 403


@pytest.mark.parametrize(
    ("code", "reason", "rows"),
    [(76, "script_failure", 3), (75, "script_failure", 1), (None, "stuck_or_timeout_failure", 3)],
)
def test_automatic_retry_by_exit_code_or_reason(
    gitlab: StandIn, runner: HandRunner, code: int | None, reason: str, rows: int
) -> None:
    pipeline_id = gitlab.start_pipeline("acme/shop", ci_file=NX.replace("parallel: 2", "parallel: 1"))
    runner.run(("guard", 0))
    count = 0
    while (response := runner.ask()).status_code == 201:
        job = response.json()
        if job["job_info"]["name"].startswith("agent"):
            count += 1
            runner.end(job, code, state="failed", failure_reason=reason)
    assert count == rows
    agents = [job for job in jobs_of(gitlab, pipeline_id, with_retried=True) if job["name"] == "agent 1/1"]
    assert len(agents) == rows
    assert agents[-1]["allow_failure"] is (code == 75)


def test_a_lost_host_is_given_up_when_told(gitlab: StandIn, runner: HandRunner) -> None:
    pipeline_id = gitlab.start_pipeline("acme/shop", ci_file=NX)
    runner.run(("guard", 0))
    lost = take_all(runner)["agent 1/2"]
    gitlab.call("POST", f"/-/stand-in/jobs/{lost['id']}/lose")
    rows = [job for job in jobs_of(gitlab, pipeline_id, with_retried=True) if job["name"] == "agent 1/2"]
    assert [(job["status"], job.get("failure_reason")) for job in rows] == [
        ("failed", "stuck_or_timeout_failure"),
        ("pending", None),
    ]
    assert runner.end(lost).status_code == 403


def test_cancel_leaves_nothing_waiting_and_retry_takes_it_up_again(
    gitlab: StandIn, runner: HandRunner
) -> None:
    pipeline_id = gitlab.start_pipeline("acme/shop", ci_file=NX)
    runner.run(("guard", 0))
    running = runner.take()
    gitlab.call("POST", f"/projects/acme%2Fshop/pipelines/{pipeline_id}/cancel")
    assert set(states(gitlab, pipeline_id).values()) == {"success", "canceled"}
    assert status(gitlab, pipeline_id) == "canceled"
    assert runner.ask().status_code == 204
    assert runner.end(running).status_code == 403
    retry(gitlab, pipeline_id)
    assert states(gitlab, pipeline_id)["main"] == "pending"


def test_manual_jobs_wait_to_be_played(gitlab: StandIn, runner: HandRunner) -> None:
    pipeline_id = gitlab.start_pipeline(
        "acme/shop",
        ci_file="""
stages: [one, two]
a: {stage: one, script: [x]}
lazy: {stage: one, script: [x], when: manual}
blocking: {stage: two, script: [x], rules: [{when: manual}]}
""",
    )
    runner.run(("a", 0))
    assert states(gitlab, pipeline_id) == {"a": "success", "lazy": "manual", "blocking": "manual"}
    assert status(gitlab, pipeline_id) == "manual"
    for name in ("lazy", "blocking"):
        job = next(job for job in jobs_of(gitlab, pipeline_id) if job["name"] == name)
        gitlab.call("POST", f"/projects/acme%2Fshop/jobs/{job['id']}/play")
        runner.run((name, 0))
    assert status(gitlab, pipeline_id) == "success"


def test_a_newer_push_cancels_interruptible_pipelines(gitlab: StandIn, tree: WorkTree) -> None:
    runner = HandRunner(gitlab, gitlab.add_runner(run_untagged=True))
    text = "a: {script: [x], interruptible: true}\nb: {script: [x], interruptible: %s, needs: [a]}\n"
    kept = gitlab.start_pipeline("acme/shop", ci_file=text % "false")
    runner.run(("a", 0))
    runner.take()
    tree.commit({"x": "1"})
    cancelled = gitlab.start_pipeline("acme/shop", ci_file=text % "true")
    runner.take()
    tree.commit({"x": "2"})
    gitlab.start_pipeline("acme/shop", ci_file=text % "true")
    assert status(gitlab, kept) == "running"
    assert status(gitlab, cancelled) == "canceled"


def test_jobs_of_one_resource_group_take_turns(gitlab: StandIn, runner: HandRunner) -> None:
    text = "a: {script: [x], resource_group: one}\n"
    first = gitlab.start_pipeline("acme/shop", ci_file=text)
    second = gitlab.start_pipeline("acme/shop", ci_file=text)
    assert states(gitlab, second) == {"a": "waiting_for_resource"}
    runner.run(("a", 0))
    assert (states(gitlab, first), states(gitlab, second)) == ({"a": "success"}, {"a": "pending"})

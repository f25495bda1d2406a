"""What a runner sees."""

from __future__ import annotations

import gzip
import io
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.gitlab.driver import HandRunner, jobs_of, states

if TYPE_CHECKING:
    from tests.support.gitlab.server import StandIn
    from tests.support.gitlab.work_tree import WorkTree

ONE = "job: {script: [echo]}\n"


@pytest.fixture
def runner(gitlab: StandIn) -> HandRunner:
    return HandRunner(gitlab, gitlab.add_runner(run_untagged=True))


def upload(gitlab: StandIn, job: dict[str, Any], content: bytes, **query: str) -> Any:
    return gitlab.api.post(
        f"/jobs/{job['id']}/artifacts",
        params=query,
        files={"file": ("artifacts.zip", content)},
        headers={"JOB-TOKEN": job["token"]},
    )


def patch(gitlab: StandIn, job: dict[str, Any], content: bytes, content_range: str | None) -> Any:
    headers = {"JOB-TOKEN": job["token"]} | ({"Content-Range": content_range} if content_range else {})
    return gitlab.api.patch(f"/jobs/{job['id']}/trace", content=content, headers=headers)


def test_verify_knows_the_token_and_the_host(gitlab: StandIn) -> None:
    made = gitlab.call("POST", "/user/runners", runner_type="instance_type", run_untagged=True)
    answer = gitlab.call("POST", "/runners/verify", token=made["token"], system_id="s_1")
    assert answer == {"id": made["id"], "token": made["token"], "token_expires_at": None}
    assert [host["system_id"] for host in gitlab.call("GET", f"/runners/{made['id']}/managers")] == ["s_1"]
    assert gitlab.api.post("/runners/verify", json={"token": "glrt-no"}).status_code == 403


def test_one_token_on_two_hosts_is_one_runner_with_two_managers(gitlab: StandIn) -> None:
    made = gitlab.call("POST", "/user/runners", runner_type="instance_type", run_untagged=True)
    for host in ("s_1", "s_2"):
        gitlab.call("POST", "/runners/verify", token=made["token"], system_id=host)
    response = gitlab.api.request(
        "DELETE", "/runners/managers", json={"token": made["token"], "system_id": "s_1"}
    )
    assert response.status_code == 204
    assert [host["system_id"] for host in gitlab.call("GET", f"/runners/{made['id']}/managers")] == ["s_2"]
    assert gitlab.call("POST", "/runners/verify", token=made["token"])["id"] == made["id"]


def test_a_reset_token_replaces_the_old_one(gitlab: StandIn) -> None:
    old = gitlab.add_runner("a")
    new = gitlab.call("POST", "/runners/reset_authentication_token", token=old)["token"]
    assert new.startswith("glrt-")
    assert gitlab.api.post("/runners/verify", json={"token": old}).status_code == 403
    assert gitlab.api.post("/runners/verify", json={"token": new}).status_code == 200


def test_no_job_is_204_with_an_update_to_send_back(
    gitlab: StandIn, tree: WorkTree, runner: HandRunner
) -> None:
    first = runner.ask()
    assert first.status_code == 204
    update = first.headers["X-GitLab-Last-Update"]
    assert runner.ask(last_update=update).headers["X-GitLab-Last-Update"] == update
    gitlab.start_pipeline("acme/shop", ci_file=ONE)
    assert runner.ask(last_update=update).status_code == 201
    assert tree.head


def test_a_paused_runner_gets_nothing(gitlab: StandIn, tree: WorkTree, runner: HandRunner) -> None:
    gitlab.start_pipeline("acme/shop", ci_file=ONE)
    runner_id = gitlab.call("GET", "/runners/all")[0]["id"]
    gitlab.call("PUT", f"/runners/{runner_id}", paused=True)
    assert runner.ask().status_code == 204
    gitlab.call("PUT", f"/runners/{runner_id}", paused=False)
    assert runner.take()["git_info"]["sha"] == tree.head


def test_a_job_says_all_that_a_runner_needs(gitlab: StandIn, tree: WorkTree, runner: HandRunner) -> None:
    pipeline_id = gitlab.start_pipeline(
        "acme/shop",
        ci_file="""
variables: {WHO: world, GIT_DEPTH: "5"}
default: {before_script: [echo before], timeout: 10m}
job:
  variables: {GREETING: "hello $WHO $UNKNOWN"}
  script: [echo one, echo two]
  after_script: [echo after]
  cache: {key: {files: [README]}, paths: [stuff/], policy: pull}
  artifacts: {paths: [dist], expire_in: 1 week, reports: {dotenv: out.env}}
""",
    )
    job = runner.take()
    variables = {item["key"]: item["value"] for item in job["variables"]}
    assert job["steps"][0]["script"] == ["echo before", "echo one", "echo two"]
    assert [(step["name"], step["when"]) for step in job["steps"]] == [
        ("script", "on_success"),
        ("after_script", "always"),
    ]
    assert job["runner_info"]["timeout"] == 600
    assert job["git_info"]["depth"] == 5
    assert job["git_info"]["refspecs"] == [
        f"+refs/pipelines/{pipeline_id}:refs/pipelines/{pipeline_id}",
        "+refs/heads/main:refs/remotes/origin/main",
    ]
    assert variables["GREETING"] == "hello world $UNKNOWN"
    assert variables["CI_JOB_TOKEN"] == job["token"]
    assert variables["CI_COMMIT_BRANCH"] == "main"
    assert variables["CI_COMMIT_SHA"] == tree.head
    assert variables["CI_COMMIT_BEFORE_SHA"] == "0" * 40
    assert variables["CI_PIPELINE_ID"] == str(pipeline_id)
    assert [(item["artifact_type"], item["artifact_format"]) for item in job["artifacts"]] == [
        ("archive", "zip"),
        ("dotenv", "gzip"),
    ]
    assert job["cache"][0]["key"].endswith("-protected")
    assert job["cache"][0]["policy"] == "pull"


def test_trace_is_appended_piece_by_piece(gitlab: StandIn, tree: WorkTree, runner: HandRunner) -> None:
    gitlab.start_pipeline("acme/shop", ci_file=ONE)
    job = runner.take()
    assert patch(gitlab, job, b"hello", None).status_code == 400
    first = patch(gitlab, job, b"hello ", "0-5")
    assert (first.status_code, first.headers["Range"], first.headers["Job-Status"]) == (202, "0-6", "running")
    gap = patch(gitlab, job, b"!", "20-20")
    assert (gap.status_code, gap.headers["Range"]) == (416, "0-6")
    assert patch(gitlab, job, b"world", "6-10").headers["Range"] == "0-11"
    # The same piece again, as after a lost answer.
    assert patch(gitlab, job, b"world", "6-10").status_code == 202
    assert gitlab.api.get(f"/projects/acme%2Fshop/jobs/{job['id']}/trace").text == "hello world"
    assert tree.head


def test_a_wrong_token_or_a_finished_job_is_403(gitlab: StandIn, tree: WorkTree, runner: HandRunner) -> None:
    gitlab.start_pipeline("acme/shop", ci_file=ONE)
    job = runner.take()
    assert runner.end({**job, "token": "wrong"}).status_code == 403
    assert runner.end(job).status_code == 200
    late = patch(gitlab, job, b"x", "0-0")
    assert (late.status_code, late.headers["Job-Status"]) == (403, "success")
    assert tree.head


def test_cancel_reaches_the_runner_in_the_answers(
    gitlab: StandIn, tree: WorkTree, runner: HandRunner
) -> None:
    pipeline_id = gitlab.start_pipeline("acme/shop", ci_file=ONE)
    job = runner.take()
    gitlab.call("POST", f"/projects/acme%2Fshop/pipelines/{pipeline_id}/cancel")
    answer = patch(gitlab, job, b"x", "0-0")
    assert (answer.status_code, answer.headers["Job-Status"]) == (403, "canceled")
    assert states(gitlab, pipeline_id) == {"job": "canceled"}
    assert tree.head


def test_a_graceful_runner_sees_canceling_and_the_job_stays_cancelled(
    gitlab: StandIn, tree: WorkTree
) -> None:
    runner = HandRunner(gitlab, gitlab.add_runner(run_untagged=True), is_graceful=True)
    pipeline_id = gitlab.start_pipeline("acme/shop", ci_file=ONE)
    job = runner.take()
    gitlab.call("POST", f"/projects/acme%2Fshop/jobs/{job['id']}/cancel")
    answer = patch(gitlab, job, b"x", "0-0")
    assert (answer.status_code, answer.headers["Job-Status"]) == (202, "canceling")
    assert gitlab.call("GET", f"/projects/acme%2Fshop/pipelines/{pipeline_id}")["status"] == "canceling"
    runner.end(job, 1, failure_reason="unknown_failure")
    assert states(gitlab, pipeline_id) == {"job": "canceled"}
    assert tree.head


def test_artifacts_go_by_the_dependencys_token(gitlab: StandIn, tree: WorkTree, runner: HandRunner) -> None:
    gitlab.start_pipeline(
        "acme/shop",
        ci_file="""
stages: [one, two]
make: {stage: one, script: [x], artifacts: {paths: [a]}}
quiet: {stage: one, script: [x]}
use: {stage: two, script: [x], needs: [make, quiet]}
""",
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a", "made")
    make = runner.take()
    assert (
        upload(gitlab, make, buffer.getvalue(), artifact_type="archive", expire_in="1 week").status_code
        == 201
    )
    assert upload(gitlab, make, b"other", artifact_type="archive").status_code == 400
    runner.end(make)
    runner.end(runner.take())
    use = runner.take()
    assert {item["name"]: bool(item.get("artifacts_file")) for item in use["dependencies"]} == {
        "make": True,
        "quiet": False,
    }
    address = f"/jobs/{make['id']}/artifacts?direct_download=true"
    assert gitlab.api.get(address, headers={"JOB-TOKEN": make["token"]}).content == buffer.getvalue()
    assert gitlab.api.get(address, headers={"JOB-TOKEN": "wrong"}).status_code == 403
    assert tree.head


def test_dotenv_reports_become_variables_of_later_jobs(
    gitlab: StandIn, tree: WorkTree, runner: HandRunner
) -> None:
    gitlab.start_pipeline(
        "acme/shop",
        ci_file="""
stages: [one, two]
make: {stage: one, script: [x], artifacts: {reports: {dotenv: e}}}
use: {stage: two, script: [x]}
deaf: {stage: two, script: [x], dependencies: []}
""",
    )
    make = runner.take()
    wrong = upload(gitlab, make, gzip.compress(b"1=2"), artifact_type="dotenv", artifact_format="gzip")
    assert (wrong.status_code, wrong.json()["message"]) == (400, "Invalid Format")
    content = gzip.compress(b'COLOUR=blue\n\nQUOTED="a b"\n')
    assert upload(gitlab, make, content, artifact_type="dotenv", artifact_format="gzip").status_code == 201
    runner.end(make)
    seen = {}
    for _ in range(2):
        job = runner.take()
        values = {item["key"]: item["value"] for item in job["variables"]}
        seen[job["job_info"]["name"]] = (values.get("COLOUR"), values.get("QUOTED"))
    assert seen == {"use": ("blue", "a b"), "deaf": (None, None)}
    assert tree.head


def test_an_erased_dependency_fails_the_job_before_it_starts(
    gitlab: StandIn, tree: WorkTree, runner: HandRunner
) -> None:
    pipeline_id = gitlab.start_pipeline(
        "acme/shop",
        ci_file="""
stages: [one, two]
make: {stage: one, script: [x], artifacts: {paths: [a]}}
use: {stage: two, script: [x], retry: 2}
""",
    )
    make = runner.take()
    upload(gitlab, make, b"zip", artifact_type="archive")
    runner.end(make)
    gitlab.call("DELETE", f"/projects/acme%2Fshop/jobs/{make['id']}/artifacts")
    assert runner.ask().status_code == 204
    rows = jobs_of(gitlab, pipeline_id, with_retried=True)
    assert [(job["name"], job["status"]) for job in rows] == [("make", "success"), ("use", "failed")]
    assert rows[1]["failure_reason"] == "missing_dependency_failure"
    assert tree.head


def test_tags_are_the_servers_business(gitlab: StandIn, tree: WorkTree) -> None:
    gitlab.start_pipeline(
        "acme/shop",
        ci_file="""
plain: {script: [x]}
main: {script: [x], tags: [nx-main]}
both: {script: [x], tags: [nx-main, big]}
""",
    )
    agents = HandRunner(gitlab, gitlab.add_runner("nx-agent"))
    mains = HandRunner(gitlab, gitlab.add_runner("nx-main"))
    big = HandRunner(gitlab, gitlab.add_runner("nx-main", "big"))
    anyone = HandRunner(gitlab, gitlab.add_runner("other", run_untagged=True))
    assert agents.ask().status_code == 204
    assert mains.take()["job_info"]["name"] == "main"
    assert mains.ask().status_code == 204
    assert big.take()["job_info"]["name"] == "both"
    assert anyone.take()["job_info"]["name"] == "plain"
    assert tree.head


def test_a_project_runner_and_a_protected_one_see_only_theirs(gitlab: StandIn, tree: WorkTree) -> None:
    gitlab.call("POST", "/projects", path="acme/other")
    other = gitlab.call("GET", "/projects/acme%2Fother")["id"]
    values = {"run_untagged": True, "runner_type": "project_type"}
    foreign = HandRunner(gitlab, gitlab.add_runner(project_id=other, **values))
    guarded = HandRunner(gitlab, gitlab.add_runner(run_untagged=True, access_level="ref_protected"))
    tree.branch("feature")
    tree.commit({"x": "1"})
    gitlab.start_pipeline("acme/shop", ref="feature", ci_file=ONE)
    assert foreign.ask().status_code == 204
    assert guarded.ask().status_code == 204
    gitlab.start_pipeline("acme/shop", ref="main", ci_file=ONE)
    assert guarded.take()["git_info"]["ref"] == "main"


def test_instance_runners_are_fair_to_projects(gitlab: StandIn, tree: WorkTree, runner: HandRunner) -> None:
    gitlab.call("POST", "/projects", path="acme/other")
    sha = tree.head
    tree.git("push", "--quiet", tree.git("remote", "get-url", "origin").replace("shop", "other"), "main")
    gitlab.start_pipeline("acme/shop", ci_file="a: {script: [x]}\nb: {script: [x]}\n")
    gitlab.start_pipeline("acme/other", ci_file="c: {script: [x]}\n")
    assert [runner.take()["job_info"]["name"] for _ in range(3)] == ["a", "c", "b"]
    assert sha

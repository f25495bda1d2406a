"""The reader of GitLab's API, against a server that answers as GitLab does."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from werkzeug import Request, Response

from nx_dte.gitlab import CiEnvironment, GitLabApi, GitLabUnavailableError, PipelineJob

if TYPE_CHECKING:
    from pytest_httpserver import HTTPServer

JOBS = "/api/v4/projects/3/pipelines/70/jobs"


def api(server: HTTPServer, **more: str) -> GitLabApi:
    job = {"CI_API_V4_URL": server.url_for("/api/v4"), "CI_PROJECT_ID": "3", "CI_PIPELINE_ID": "70", **more}
    return GitLabApi(environment=CiEnvironment.from_environ(job))


def listed(job_id: int, name: str = "nx-dte", status: str = "running") -> dict[str, Any]:
    return {"id": job_id, "name": name, "status": status, "created_at": "2026-03-01T12:00:00.123Z"}


def test_own_job_with_the_job_token(httpserver: HTTPServer) -> None:
    httpserver.expect_request("/api/v4/job", headers={"JOB-TOKEN": "j"}).respond_with_json(listed(101))
    own = api(httpserver, CI_JOB_TOKEN="j").own_job(timeout_s=5)
    assert own.job_id == "101"
    assert own.created_at.isoformat() == "2026-03-01T12:00:00.123000+00:00"


def test_nothing_is_asked_without_a_token(httpserver: HTTPServer) -> None:
    for question in (
        lambda: api(httpserver, CI_JOB_TOKEN="").own_job(timeout_s=5),
        lambda: api(httpserver).pipeline_jobs(timeout_s=5),
        lambda: api(httpserver).last_green_commit("main", timeout_s=5),
    ):
        with pytest.raises(GitLabUnavailableError):
            question()
    assert httpserver.log == []


def test_all_pages_are_read_retried_jobs_too(httpserver: HTTPServer) -> None:
    pages = {"1": [listed(12), listed(11)], "2": [listed(10, "nx-dte-agent 1/2", "success")]}

    def answer(request: Request) -> Response:
        assert request.args["include_retried"] == "true"
        page = request.args["page"]
        following = {"1": "2", "2": ""}[page]
        return Response(json.dumps(pages[page]), headers={"x-next-page": following})

    httpserver.expect_request(JOBS, headers={"PRIVATE-TOKEN": "p"}).respond_with_handler(answer)
    jobs = api(httpserver, NX_DTE_GITLAB_TOKEN="p").pipeline_jobs(timeout_s=5)
    assert [job.job_id for job in jobs] == [10, 11, 12]
    assert jobs[0].base_name == "nx-dte-agent"


@pytest.mark.parametrize("status", [401, 403, 404])
def test_the_job_token_is_tried_where_the_other_is_refused(httpserver: HTTPServer, status: int) -> None:
    httpserver.expect_request(JOBS, headers={"PRIVATE-TOKEN": "p"}).respond_with_json({}, status=status)
    httpserver.expect_request(JOBS, headers={"JOB-TOKEN": "j"}).respond_with_json([listed(11)])
    jobs = api(httpserver, NX_DTE_GITLAB_TOKEN="p", CI_JOB_TOKEN="j").pipeline_jobs(timeout_s=5)
    assert [job.job_id for job in jobs] == [11]


def test_a_gitlab_that_does_not_accept_job_tokens_here_says_so(httpserver: HTTPServer) -> None:
    httpserver.expect_request(JOBS).respond_with_json({"message": "401 Unauthorized"}, status=401)
    with pytest.raises(GitLabUnavailableError, match="401 to CI_JOB_TOKEN"):
        api(httpserver, CI_JOB_TOKEN="j").pipeline_jobs(timeout_s=5)


def test_a_login_page_is_no_list(httpserver: HTTPServer) -> None:
    httpserver.expect_request(JOBS).respond_with_data("<html>", content_type="text/html")
    with pytest.raises(GitLabUnavailableError):
        api(httpserver, CI_JOB_TOKEN="j").pipeline_jobs(timeout_s=5)


def test_last_green_commit(httpserver: HTTPServer) -> None:
    query = {
        "ref": "main",
        "status": "success",
        "order_by": "id",
        "sort": "desc",
        "per_page": "1",
        "page": "1",
    }
    pipelines = "/api/v4/projects/3/pipelines"
    httpserver.expect_request(pipelines, query_string=query).respond_with_json([{"id": 9, "sha": "c0ffee"}])
    assert api(httpserver, NX_DTE_GITLAB_TOKEN="p").last_green_commit("main", timeout_s=5) == "c0ffee"
    httpserver.clear()
    httpserver.expect_request(pipelines).respond_with_json([])
    assert api(httpserver, NX_DTE_GITLAB_TOKEN="p").last_green_commit("main", timeout_s=5) is None


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("agent", "agent"),
        ("agent 2/3", "agent"),
        ("agent 12/120", "agent"),
        ("build: [linux, arm64]", "build"),
        ("test 1/2 fast", "test 1/2 fast"),
    ],
)
def test_base_names(name: str, base: str) -> None:
    assert PipelineJob(job_id=1, name=name, status="created").base_name == base

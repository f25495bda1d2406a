"""What GitLab tells a job, as one value."""

from datetime import UTC, datetime
from pathlib import Path

from nx_dte.gitlab import CiEnvironment

MERGE_REQUEST = {
    "GITLAB_CI": "true",
    "CI_API_V4_URL": "https://gitlab.example.org/api/v4/",
    "CI_PROJECT_ID": "3",
    "CI_PROJECT_DIR": "/builds/group/project",
    "CI_PIPELINE_ID": "70",
    "CI_PIPELINE_SOURCE": "merge_request_event",
    "CI_JOB_ID": "101",
    "CI_JOB_NAME": "nx-dte-agent 2/3",
    "CI_JOB_STARTED_AT": "2026-03-01T12:00:00Z",
    "CI_JOB_TOKEN": "job-secret",
    "NX_DTE_GITLAB_TOKEN": "api-secret",
    "CI_REPOSITORY_URL": "https://gitlab-ci-token:job-secret@gitlab.example.org/group/project.git",
    "CI_NODE_INDEX": "2",
    "CI_NODE_TOTAL": "3",
    "CI_COMMIT_SHA": "c0ffee",
    "CI_COMMIT_BEFORE_SHA": "0" * 40,
    "CI_COMMIT_REF_NAME": "feature",
    "CI_DEFAULT_BRANCH": "main",
    "CI_MERGE_REQUEST_IID": "12",
    "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
    "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "feature",
    "CI_MERGE_REQUEST_DIFF_BASE_SHA": "ba5e",
}


def test_a_merge_request_pipeline() -> None:
    environment = CiEnvironment.from_environ(MERGE_REQUEST)
    assert environment.is_gitlab
    assert environment.api_url == "https://gitlab.example.org/api/v4"
    assert environment.project_dir == Path("/builds/group/project")
    assert environment.job_name == "nx-dte-agent 2/3"
    assert environment.job_started_at == datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
    assert (environment.node_index, environment.node_total) == (2, 3)
    assert environment.branch is None
    request = environment.merge_request
    assert request is not None
    assert (request.iid, request.target_branch, request.diff_base_commit) == ("12", "main", "ba5e")


def test_zeros_are_no_commit() -> None:
    assert CiEnvironment.from_environ(MERGE_REQUEST).before_commit is None
    pushed = CiEnvironment.from_environ({**MERGE_REQUEST, "CI_COMMIT_BEFORE_SHA": "b4"})
    assert pushed.before_commit == "b4"


def test_nothing_at_all() -> None:
    assert CiEnvironment.from_environ({}) == CiEnvironment()


def test_empty_and_impossible_values_count_as_absent() -> None:
    environment = CiEnvironment.from_environ(
        {
            "CI_JOB_TOKEN": " ",
            "CI_NODE_INDEX": "two",
            "CI_JOB_STARTED_AT": "soon",
            "CI_API_V4_URL": "git@gitlab.example.org:group",
        }
    )
    assert environment == CiEnvironment()


def test_gitlab_ci_local_is_not_gitlab() -> None:
    assert not CiEnvironment.from_environ({"GITLAB_CI": "false", "CI_JOB_ID": "1"}).is_gitlab


def test_no_secret_is_shown() -> None:
    assert "secret" not in repr(CiEnvironment.from_environ(MERGE_REQUEST))

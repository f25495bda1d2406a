"""Who may ask what: people's tokens, jobs' tokens, ID tokens, git."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import jwt
import pytest

from tests.integration.gitlab.driver import HandRunner, jobs_of

if TYPE_CHECKING:
    from tests.support.gitlab.server import StandIn
    from tests.support.gitlab.work_tree import WorkTree

PROJECT = "/projects/acme%2Fshop"


@pytest.fixture
def running(gitlab: StandIn, tree: WorkTree) -> dict[str, Any]:
    """A job on a runner."""
    assert tree.head
    text = 'job: {script: [x], id_tokens: {T: {aud: "https://dte.invalid/$CI_PROJECT_ID"}}}\nother: {script: [x]}\n'
    gitlab.start_pipeline("acme/shop", ci_file=text)
    return HandRunner(gitlab, gitlab.add_runner(run_untagged=True)).take()


def as_job(gitlab: StandIn, path: str, token: str) -> Any:
    return gitlab.api.get(path, headers={"PRIVATE-TOKEN": "", "JOB-TOKEN": token})


def test_a_job_may_ask_for_itself_while_it_runs(gitlab: StandIn, running: dict[str, Any]) -> None:
    own = as_job(gitlab, "/job", running["token"]).json()
    assert (own["id"], own["name"], own["status"]) == (running["id"], "job", "running")
    assert own["created_at"] < own["started_at"]
    assert own["pipeline"]["id"] == running["job_info"]["pipeline_id"]
    gitlab.call("PUT", f"/jobs/{running['id']}", token=running["token"], state="success")
    assert as_job(gitlab, "/job", running["token"]).status_code == 401


def test_whether_a_job_may_list_the_pipelines_jobs_depends_on_the_release(
    gitlab: StandIn, running: dict[str, Any]
) -> None:
    path = f"{PROJECT}/pipelines/{running['job_info']['pipeline_id']}/jobs?include_retried=true"
    assert {job["name"] for job in as_job(gitlab, path, running["token"]).json()} == {"job", "other"}
    gitlab.call("PUT", "/-/stand-in/settings", job_token_lists_jobs=False)
    assert as_job(gitlab, path, running["token"]).status_code == 401
    assert as_job(gitlab, path, "").status_code == 401
    # A single job is never shown to a job.
    assert as_job(gitlab, f"{PROJECT}/jobs/{running['id']}", running["token"]).status_code == 401


def test_scopes_are_kept(gitlab: StandIn, running: dict[str, Any]) -> None:
    user = gitlab.instance.add_user("reader")
    reader = gitlab.instance.add_token(user, "read_api").token
    creator = gitlab.instance.add_token(user, "create_runner").token
    pipeline = f"{PROJECT}/pipelines/{running['job_info']['pipeline_id']}"

    def status(method: str, path: str, token: str) -> int:
        return gitlab.api.request(method, path, json={}, headers={"PRIVATE-TOKEN": token}).status_code

    assert status("GET", f"{pipeline}/jobs", reader) == 200
    assert status("POST", f"{pipeline}/retry", reader) == 403
    assert status("POST", "/user/runners", reader) == 403
    assert status("POST", "/user/runners", creator) == 400
    assert status("GET", f"{pipeline}/jobs", creator) == 403
    assert status("GET", f"{pipeline}/jobs", "glpat-unknown") == 401


def test_long_lists_come_in_pages(gitlab: StandIn, tree: WorkTree) -> None:
    assert tree.head
    pipeline_id = gitlab.start_pipeline("acme/shop", ci_file="a: {script: [x], parallel: 130}\n")
    first = gitlab.api.get(f"{PROJECT}/pipelines/{pipeline_id}/jobs?per_page=100")
    assert (len(first.json()), first.headers["X-Next-Page"], first.headers["X-Total"]) == (100, "2", "130")
    assert first.links["next"]["url"].startswith(gitlab.url)
    second = gitlab.api.get(f"{PROJECT}/pipelines/{pipeline_id}/jobs?per_page=100&page=2")
    assert (len(second.json()), second.headers["X-Next-Page"]) == (30, "")
    assert not {job["id"] for job in first.json()} & {job["id"] for job in second.json()}
    assert len(gitlab.api.get(f"{PROJECT}/pipelines/{pipeline_id}/jobs").json()) == 20


def test_pipelines_are_found_by_ref_and_status(gitlab: StandIn, tree: WorkTree) -> None:
    runner = HandRunner(gitlab, gitlab.add_runner(run_untagged=True))
    ids: dict[int, tuple[int, str]] = {}
    for code in (0, 1, 0):
        tree.commit({"x": str(len(ids))})
        ids[len(ids)] = (gitlab.start_pipeline("acme/shop", ci_file="a: {script: [x]}\n"), tree.head)
        runner.run(("a", code))
    found = gitlab.call("GET", f"{PROJECT}/pipelines?ref=main&status=success")
    assert [(item["id"], item["sha"]) for item in found] == [ids[2], ids[0]]
    assert gitlab.call("GET", f"{PROJECT}/pipelines?ref=gone") == []


def test_id_tokens_can_be_checked_with_the_published_keys(gitlab: StandIn, running: dict[str, Any]) -> None:
    token = next(item["value"] for item in running["variables"] if item["key"] == "T")
    discovery = gitlab.api.get(f"{gitlab.url}/.well-known/openid-configuration").json()
    keys = gitlab.api.get(discovery["jwks_uri"]).json()["keys"]
    header = jwt.get_unverified_header(token)
    assert header["alg"] == "RS256"
    (key,) = [key for key in keys if key["kid"] == header["kid"]]
    project_id = running["job_info"]["project_id"]
    claims = jwt.decode(
        token,
        jwt.PyJWK.from_json(json.dumps(key)).key,
        algorithms=["RS256"],
        audience=f"https://dte.invalid/{project_id}",
        issuer=discovery["issuer"],
    )
    assert claims["job_id"] == str(running["id"])
    assert claims["job_project_id"] == claims["project_id"] == str(project_id)
    assert claims["pipeline_id"] == str(running["job_info"]["pipeline_id"])
    assert claims["ref_protected"] == "true"
    assert claims["sub"] == "project_path:acme/shop:ref_type:branch:ref:main"
    assert claims["exp"] - claims["iat"] == running["runner_info"]["timeout"]
    assert isinstance(claims["runner_id"], int)


def test_a_rotated_key_is_no_longer_published(gitlab: StandIn, running: dict[str, Any]) -> None:
    token = next(item["value"] for item in running["variables"] if item["key"] == "T")
    gitlab.instance.signer.rotate()
    keys = gitlab.api.get(f"{gitlab.url}/oauth/discovery/keys").json()["keys"]
    assert jwt.get_unverified_header(token)["kid"] not in {key["kid"] for key in keys}


def test_git_opens_to_a_running_job_only(gitlab: StandIn, tree: WorkTree, running: dict[str, Any]) -> None:
    url = running["git_info"]["repo_url"]
    assert tree.head in tree.git("ls-remote", url, "refs/heads/main")
    pipeline_ref = f"refs/pipelines/{running['job_info']['pipeline_id']}"
    assert tree.head in tree.git("ls-remote", url, pipeline_ref)
    with pytest.raises(AssertionError):
        tree.git("push", url, "HEAD:refs/heads/mischief")
    gitlab.call("PUT", f"/jobs/{running['id']}", token=running["token"], state="success")
    with pytest.raises(AssertionError):
        tree.git("-c", "credential.helper=", "ls-remote", url)


def test_a_shallow_clone_can_be_deepened(gitlab: StandIn, tree: WorkTree, running: dict[str, Any]) -> None:
    first = tree.head
    for number in range(4):
        tree.commit({"n": str(number)})
    target = tree.folder.parent / "shallow"
    tree.git("clone", "--quiet", "--depth=1", running["git_info"]["repo_url"], str(target))
    tree.git("-C", str(target), "fetch", "--quiet", "--deepen=2")
    assert tree.git("-C", str(target), "rev-list", "--count", "HEAD") == "3"
    tree.git("-C", str(target), "fetch", "--quiet", "--unshallow")
    assert tree.git("-C", str(target), "cat-file", "-t", first) == "commit"
    assert gitlab.url


def test_job_views_keep_the_order_of_rows(gitlab: StandIn, running: dict[str, Any]) -> None:
    gitlab.call("PUT", f"/jobs/{running['id']}", token=running["token"], state="failed")
    gitlab.call("POST", f"{PROJECT}/jobs/{running['id']}/retry")
    pipeline_id = running["job_info"]["pipeline_id"]
    rows = [job["id"] for job in jobs_of(gitlab, pipeline_id, with_retried=True) if job["name"] == "job"]
    assert rows == [running["id"], max(rows)]
    newest = [job["id"] for job in jobs_of(gitlab, pipeline_id) if job["name"] == "job"]
    assert newest == [max(rows)]

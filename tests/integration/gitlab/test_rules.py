"""Which pipelines and jobs there are for what has happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.gitlab.driver import HandRunner, states

if TYPE_CHECKING:
    from tests.support.gitlab.server import StandIn
    from tests.support.gitlab.work_tree import WorkTree

SWITCH = """
workflow:
  rules:
    - if: $CI_PIPELINE_SOURCE == "merge_request_event"
      variables: {KIND: mr}
    - if: $CI_COMMIT_BRANCH && $CI_OPEN_MERGE_REQUESTS
      when: never
    - if: $CI_COMMIT_BRANCH || $CI_COMMIT_TAG
job: {script: [x]}
"""
RECIPE = """
.main: {only: [main, merge_requests]}
main: {extends: .main, script: [x]}
agent: {script: [x]}
"""
RULES = """
job:
  script: [x]
  rules:
    - changes: ["src/**/*.ts"]
      variables: {WHY: source}
    - exists: ["docs/*.md"]
      when: manual
      allow_failure: true
    - if: $FORCE == "yes"
"""


def pipeline(gitlab: StandIn, **values: Any) -> dict[str, str] | str:
    """The jobs of a new pipeline, or why there is none."""
    response = gitlab.api.post(f"{gitlab.url}/-/stand-in/projects/acme/shop/pipelines", json=values)
    if response.status_code == 201:
        return states(gitlab, response.json()["id"])
    assert response.status_code == 400
    message: str = response.json()["message"]
    return message


def open_request(gitlab: StandIn, tree: WorkTree) -> int:
    tree.branch("feature")
    tree.commit({"x": "1"})
    values = {"source_branch": "feature", "target_branch": "main", "title": "Add x"}
    iid: int = gitlab.call("POST", "/projects/acme%2Fshop/merge_requests", **values)["iid"]
    return iid


def variables(gitlab: StandIn) -> dict[str, str]:
    job = HandRunner(gitlab, gitlab.add_runner(run_untagged=True)).take()
    return {item["key"]: item["value"] for item in job["variables"]}


def test_the_branch_and_merge_request_switch(gitlab: StandIn, tree: WorkTree) -> None:
    assert pipeline(gitlab, ref="main", ci_file=SWITCH) == {"job": "pending"}
    iid = open_request(gitlab, tree)
    assert pipeline(gitlab, ref="feature", ci_file=SWITCH) == "Pipeline filtered out by workflow rules."
    assert pipeline(gitlab, source="merge_request_event", merge_request=iid, ci_file=SWITCH) == {
        "job": "pending"
    }


def test_a_merge_request_pipeline_has_its_variables_and_no_branch(gitlab: StandIn, tree: WorkTree) -> None:
    base = tree.head
    iid = open_request(gitlab, tree)
    pipeline(gitlab, source="merge_request_event", merge_request=iid, before_sha=base, ci_file=SWITCH)
    found = variables(gitlab)
    assert "CI_COMMIT_BRANCH" not in found
    assert found["CI_COMMIT_REF_NAME"] == "feature"
    assert found["CI_COMMIT_BEFORE_SHA"] == "0" * 40
    assert found["CI_MERGE_REQUEST_DIFF_BASE_SHA"] == base
    assert found["CI_MERGE_REQUEST_TARGET_BRANCH_NAME"] == "main"
    assert found["CI_OPEN_MERGE_REQUESTS"] == "acme/shop!1"
    assert found["CI_MERGE_REQUEST_TITLE"] == "Add x"
    assert found["KIND"] == "mr"


def test_a_tag_pipeline(gitlab: StandIn, tree: WorkTree) -> None:
    tree.git("tag", "v1")
    tree.git("push", "--quiet", "origin", "v1")
    assert pipeline(gitlab, ref="v1", ci_file=SWITCH) == {"job": "pending"}
    found = variables(gitlab)
    assert (found["CI_COMMIT_TAG"], found.get("CI_COMMIT_BRANCH")) == ("v1", None)


def test_the_recipes_only_parts_main_from_its_agents(gitlab: StandIn, tree: WorkTree) -> None:
    iid = open_request(gitlab, tree)
    assert pipeline(gitlab, ref="main", ci_file=RECIPE) == {"main": "pending", "agent": "pending"}
    assert pipeline(gitlab, ref="feature", ci_file=RECIPE) == {"agent": "pending"}
    assert pipeline(gitlab, source="merge_request_event", merge_request=iid, ci_file=RECIPE) == {
        "main": "pending"
    }


def test_rules_change_the_job(gitlab: StandIn, tree: WorkTree) -> None:
    before = tree.head
    tree.commit({"src/deep/a.ts": "1"})
    assert pipeline(gitlab, before_sha=before, ci_file=RULES) == {"job": "pending"}
    assert variables(gitlab)["WHY"] == "source"
    before = tree.head
    tree.commit({"other": "1"})
    assert "prevented any jobs" in str(pipeline(gitlab, before_sha=before, ci_file=RULES))
    forced = pipeline(gitlab, before_sha=before, ci_file=RULES, variables={"FORCE": "yes"})
    assert forced == {"job": "pending"}
    before = tree.head
    tree.commit({"docs/a.md": "1"})
    assert pipeline(gitlab, before_sha=before, ci_file=RULES) == {"job": "manual"}


def test_a_new_branch_has_changed_everything(gitlab: StandIn, tree: WorkTree) -> None:
    assert tree.head
    assert pipeline(gitlab, ci_file=RULES) == {"job": "pending"}


def test_the_file_may_come_from_the_commit(gitlab: StandIn, tree: WorkTree) -> None:
    tree.commit({".gitlab-ci.yml": "job: {script: [x]}\n"})
    made = gitlab.call(
        "POST", "/projects/acme%2Fshop/pipeline", ref="main", variables=[{"key": "A", "value": "b"}]
    )
    assert made["source"] == "api"
    assert variables(gitlab)["A"] == "b"


def test_extends_default_and_reference(gitlab: StandIn, tree: WorkTree) -> None:
    text = """
default: {tags: [x], before_script: [first]}
variables: {A: global, B: global}
.lines: {script: [one, two]}
.base: &base {variables: {A: base, C: base}, tags: [y]}
job:
  extends: .base
  variables: {C: job, D: "$C-$A"}
  script: [zero, !reference [.lines, script]]
bare: {<<: *base, inherit: {default: false, variables: [B]}, script: [x], tags: [x]}
"""
    assert pipeline(gitlab, ci_file=text) == {"job": "pending", "bare": "pending"}
    runner = HandRunner(gitlab, gitlab.add_runner("x", "y"))
    job, bare = runner.take(), runner.take()
    found = {item["key"]: item["value"] for item in job["variables"]}
    assert job["steps"][0]["script"] == ["first", "zero", "one", "two"]
    assert [found[key] for key in "ABCD"] == ["base", "global", "job", "job-base"]
    assert bare["steps"][0]["script"] == ["x"]
    assert tree.head


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("job: {stage: affected, script: [x]}", "chosen stage affected does not exist"),
        ("job: {script: [x], needs: [gone]}", "does not exist in the pipeline"),
        ("job: {script: [x], rules: [{when: always}], only: [main]}", "may not be used with `rules`"),
        ("job: {script: [x], retry: 3}", "less than or equal to 2"),
        ("job: {script: [x], retry: {max: 1, when: [sometimes]}}", "unknown values: sometimes"),
        ("job: {script: [x], run_when: always}", "unknown keys: run_when"),
        ("job: {stage: test}", "should implement the script"),
        ("job: {extends: .gone, script: [x]}", "extends"),
        ("job: [", "while parsing"),
        ("include: x.yml\njob: {script: [x]}", "this stand-in does not know `include`"),
        ("job: {stage: .pre, script: [x]}", "prevented any jobs"),
    ],
)
def test_a_wrong_file_is_refused(gitlab: StandIn, tree: WorkTree, text: str, message: str) -> None:
    assert message in str(pipeline(gitlab, ci_file=text))
    assert tree.head

"""Each fault is found where it is, and only there."""

from __future__ import annotations

from pathlib import Path

import pytest

from nx_dte.pipeline import FaultCode, Severity, Slots, lint
from nx_dte.pipeline.finding import advice, meaning
from tests.unit.pipeline.lints import faults, findings

RECIPE = Path(__file__).with_name("recipe.gitlab-ci.yml")

WRAPPED = """\
stages: [affected]
.shared:
  rules: [{if: $CI_COMMIT_BRANCH}]
  needs: [nx-rerun-guard]
nx-rerun-guard:
  extends: .shared
  stage: .pre
  needs: []
  script: [nx-dte guard record]
nx-dte:
  extends: .shared
  stage: affected
  tags: [nx-main]
  script:
    - yarn install
    - nx-dte orchestrate -- nx affected -t build
  retry: 0
nx-dte-agent:
  extends: .shared
  stage: affected
  tags: [nx-agent]
  variables: {FF_USE_NEW_BASH_EVAL_STRATEGY: "true"}
  parallel: 3
  script:
    - yarn install
    - nx-dte agent
  allow_failure: {exit_codes: [75, 76, 77]}
  retry: {max: 2, exit_codes: [76], when: [runner_system_failure]}
"""
BARE = """\
stages: [affected]
workflow: {rules: [{if: $CI_COMMIT_BRANCH}]}
variables: {GIT_DEPTH: "0"}
nx-rerun-guard: {stage: .pre, script: [nx-dte guard record]}
nx-dte:
  stage: affected
  tags: [nx-main]
  cache: {key: k, paths: [.yarn-cache]}
  script:
    - nx-dte guard check --role main
    - export NX_BASE=$CI_MERGE_REQUEST_DIFF_BASE_SHA
    - yarn nx-cloud start-ci-run --distribute-on=manual
    - yarn nx affected -t build
nx-dte-agent:
  stage: affected
  tags: [nx-agent]
  parallel: 3
  cache: {key: k, paths: [.yarn-cache], policy: pull}
  variables: {NX_CLOUD_AGENT_TIMEOUT_MS: "900000"}
  script:
    - yarn nx-cloud start-agent
"""


def test_files_without_a_fault() -> None:
    assert findings(WRAPPED) == ()
    assert findings(BARE) == ()


# What is changed, what is found then, and what the line says that it is found at.
CASES = [
    ("no-main", WRAPPED, "nx-dte orchestrate --", "yarn", "stages:"),
    ("no-agents", WRAPPED, "nx-dte agent\n", "yarn test\n", "stages:"),
    ("different-rules", WRAPPED, "stage: affected\n  tags: [nx-agent]", "stage: affected\n  rules: [{if: $CI_COMMIT_TAG}]\n  tags: [nx-agent]", "rules: [{if: $CI_COMMIT_TAG}]"),
    ("different-rules", WRAPPED, "rules: [{if: $CI_COMMIT_BRANCH}]\n  needs: [nx-rerun-guard]\nnx-rerun-guard:\n  extends: .shared",
     "rules: [{if: $CI_COMMIT_BRANCH}]\n  needs: [nx-rerun-guard]\nnx-rerun-guard:\n  only: [main]", "only: [main]"),
    ("different-rules", BARE, "parallel: 3", "only: [main]", "only: [main]"),
    ("different-rules", BARE, "parallel: 3", "except: [tags]", "except: [tags]"),
    ("undeclared-stage", WRAPPED, "stages: [affected]", "stages: [test]", "stage: affected"),
    ("undeclared-stage", WRAPPED, "  stage: affected\n  tags: [nx-main]", "  stage: affectd\n  tags: [nx-main]", "stage: affectd"),
    ("unknown-name", WRAPPED, "extends: .shared\n  stage: affected\n  tags: [nx-main]",
     "extends: [.shared, .gone]\n  stage: affected\n  tags: [nx-main]", "extends: [.shared, .gone]"),
    ("unknown-name", WRAPPED, "- nx-dte agent", "- nx-dte agent\n    - !reference [.gone, script]", "!reference"),
    ("start-order", BARE, "parallel: 3", "parallel: 3\n  needs: [nx-dte]", "needs: [nx-dte]"),
    ("start-order", BARE, "stage: affected\n  tags: [nx-main]", "stage: .post\n  tags: [nx-main]", "stage: .post"),
    ("start-order", BARE, "stage: affected\n  tags: [nx-agent]", "stage: .post\n  tags: [nx-agent]", "stage: .post"),
    ("resource-group", WRAPPED, "parallel: 3", "parallel: 3\n  resource_group: agents", "resource_group: agents"),
    ("resource-group", WRAPPED, "retry: 0", "resource_group: main", "resource_group: main"),
    ("shared-slots", BARE, "tags: [nx-agent]", "tags: [nx-main]", "tags: [nx-main]"),
    ("shared-slots", BARE, "tags: [nx-agent]", "tags: [nx-main, big]", "tags: [nx-main, big]"),
    ("shared-slots", BARE, "tags: [nx-agent]", "tags: []", "tags: []"),
    ("uncapped-agents", BARE, "NX_CLOUD_AGENT_TIMEOUT_MS", "OTHER", "  script:"),
    ("shallow-clone", BARE, 'GIT_DEPTH: "0"', 'OTHER: "0"', "  script:"),
    ("shallow-clone", BARE, 'GIT_DEPTH: "0"', 'GIT_DEPTH: "50"', "variables: {GIT_DEPTH"),
    ("base-not-exported", BARE, "export NX_BASE=$CI_MERGE_REQUEST_DIFF_BASE_SHA", "NX_BASE=$CI_MERGE_REQUEST_DIFF_BASE_SHA", "- NX_BASE=$CI"),
    ("base-not-exported", BARE, "export NX_BASE=$CI_MERGE_REQUEST_DIFF_BASE_SHA", '|\n      if true; then\n        NX_HEAD="$(git rev-parse HEAD)"\n      fi', "    - |"),
    ("before-sha", BARE, "export NX_BASE=$CI_MERGE_REQUEST_DIFF_BASE_SHA", "export NX_BASE=${CI_MERGE_REQUEST_DIFF_BASE_SHA:-$CI_COMMIT_BEFORE_SHA}", "$CI_COMMIT_BEFORE_SHA}"),
    ("before-sha", BARE, "affected -t", "affected --base $CI_COMMIT_BEFORE_SHA -t", "--base $CI_COMMIT_BEFORE_SHA"),
    ("before-sha", BARE, 'GIT_DEPTH: "0"', 'GIT_DEPTH: "0", NX_BASE: $CI_COMMIT_BEFORE_SHA', "NX_BASE: $CI_COMMIT_BEFORE_SHA"),
    ("base-too-early", WRAPPED, "nx affected -t", "nx affected --base=$NX_BASE --head=${NX_HEAD} -t", "- nx-dte orchestrate"),
    ("base-too-early", WRAPPED, "orchestrate --", 'orchestrate --record "nx format:check --base=$NX_BASE" --', "- nx-dte orchestrate"),
    ("base-too-early", WRAPPED, "orchestrate --", """orchestrate --record "it's $NX_BASE" --""", "- nx-dte orchestrate"),
    ("exit-code-lost", WRAPPED, 'FF_USE_NEW_BASH_EVAL_STRATEGY: "true"', 'FF_USE_NEW_BASH_EVAL_STRATEGY: "false"', "- nx-dte agent"),
    ("exit-code-lost", WRAPPED, 'FF_USE_NEW_BASH_EVAL_STRATEGY: "true"', 'OTHER: "true"', "- nx-dte agent"),
    ("agent-exit-codes", WRAPPED, "allow_failure: {exit_codes: [75, 76, 77]}", "allow_failure: {exit_codes: [75, 76]}", "exit_codes: [75, 76]}"),
    ("agent-exit-codes", WRAPPED, "  allow_failure: {exit_codes: [75, 76, 77]}\n", "", "nx-dte-agent:"),
    ("agent-exit-codes", WRAPPED, "allow_failure: {exit_codes: [75, 76, 77]}", "allow_failure: false", "allow_failure: false"),
    ("agent-retry", WRAPPED, "retry: {max: 2, exit_codes: [76], when: [runner_system_failure]}", "retry: 1", "retry: 1"),
    ("agent-retry", WRAPPED, "when: [runner_system_failure]", "when: [script_failure]", "when: [script_failure]"),
    ("agent-retry", WRAPPED, "retry: {max: 2, exit_codes: [76], when: [runner_system_failure]}", "retry: {max: 2, when: always}", "when: always"),
    ("agent-retry", WRAPPED, "exit_codes: [76], when", "exit_codes: [76, 77], when", "exit_codes: [76, 77]"),
    ("agent-retry", WRAPPED, "exit_codes: [76], when", "exit_codes: 78, when", "exit_codes: 78"),
    ("main-retry", WRAPPED, "retry: 0", "retry: 2", "retry: 2"),
    ("main-retry", WRAPPED, "retry: 0", "retry: {max: 1}", "retry: {max: 1}"),
    ("no-guard", WRAPPED, "nx-dte guard record", "echo", "needs: [nx-rerun-guard]"),
    ("no-guard", WRAPPED, "stage: affected\n  tags: [nx-main]", "stage: affected\n  needs: []\n  tags: [nx-main]", "needs: []"),
    ("no-guard", WRAPPED, "retry: 0", "dependencies: []", "needs: [nx-rerun-guard]"),
    ("no-guard", BARE, "nx-dte guard check --role main", "yarn install", "  script:"),
    ("no-guard", BARE, "{stage: .pre, ", "{stage: affected, ", "  script:"),
    ("job-names", WRAPPED, "nx-dte:\n", "verify:\n", "variables: {FF"),
    ("job-names", WRAPPED, "nx-dte-agent:", "helper:", "  script:"),
    ("job-names", WRAPPED, "orchestrate --", "orchestrate --agent-job 'other*' --", "  script:"),
    ("job-names", WRAPPED, "nx-dte-agent:", "nx-dte-agent-image: {stage: affected, script: [make]}\nnx-dte-agent:", "  script:"),
    ("cache-pushers", BARE, ", policy: pull}", "}", "cache: {key: k, paths: [.yarn-cache]}"),
    ("cache-pushers", BARE, ", policy: pull}", ", policy: push}", "cache: {key: k, paths: [.yarn-cache]}"),
    ("cache-pushers", BARE, "cache: {key: k, paths: [.yarn-cache], policy: pull}", "cache: [{key: l, paths: [x]}]", "cache: [{key: l"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "text", "old", "new", "at"), CASES, ids=[f"{case[0]}-{n}" for n, case in enumerate(CASES)]
)
def test_a_fault_is_found_where_it_is(code: str, text: str, old: str, new: str, at: str) -> None:
    assert old in text
    changed = text.replace(old, new, 1)
    found = findings(changed)
    assert [finding.code.value for finding in found] == [code]
    assert found[0].severity is Severity.FAULT
    assert at in changed.splitlines()[found[0].place.line - 1]


@pytest.mark.parametrize(
    "word", ["'$NX_BASE'", """'it'"'"'s $NX_BASE'""", '"\\$NX_BASE"', r"\$NX_BASE", """"it's" '$NX_HEAD'"""]
)
def test_what_the_shell_leaves_alone_is_no_base_too_early(word: str) -> None:
    assert findings(WRAPPED.replace("orchestrate --", f"orchestrate --record {word} --", 1)) == ()


def test_every_fault_has_a_case_and_every_code_its_texts() -> None:
    tested = {case[0] for case in CASES} | {"slots", "unread-include"}
    assert tested == {code.value for code in FaultCode}
    for code in FaultCode:
        assert meaning(code).endswith(".")
        assert advice(code).endswith((".", ")."))


# What looks like a fault and is none.
@pytest.mark.parametrize(
    ("text", "old", "new"),
    [
        (WRAPPED, "nx-dte agent\n", "nx-dte agent || exit $?\n"),
        (WRAPPED, "allow_failure: {exit_codes: [75, 76, 77]}", "allow_failure: true"),
        (WRAPPED, "nx-dte agent\n", "/opt/nx-dte/bin/nx-dte agent --lifetime 3000\n"),
        (WRAPPED, "- yarn install\n    - nx-dte orchestrate", "- |\n      # as nx-dte agent does it\n      yarn install\n    - nx-dte orchestrate"),
        (WRAPPED, "nx-dte:\n", "verify:\n  variables: &names {NX_DTE_MAIN_JOB: verify}\n"),
        (WRAPPED, "needs: [nx-rerun-guard]", "needs: [{job: nx-rerun-guard, artifacts: true}]"),
        (WRAPPED, "rules: [{if: $CI_COMMIT_BRANCH}]", "rules: [{if: $CI_COMMIT_BRANCH, interruptible: true}]"),
        (WRAPPED, "nx affected -t", "nx affected '--base=$NX_BASE' --head=\\$NX_HEAD -t"),
        (WRAPPED, "- nx-dte orchestrate -- nx affected", '- eval "$(nx-dte resolve-base)"\n    - nx-dte orchestrate -- nx affected --base=$NX_BASE'),
        (WRAPPED, "retry: 0", "variables: {NX_BASE: main, NX_HEAD: HEAD}"),
        (WRAPPED, "allow_failure: {exit_codes: [75, 76, 77]}\n", "allow_failure: true\n  when: manual\n"),
        (WRAPPED, "retry: 0", "retry: {max: 1, when: [runner_system_failure]}"),
        (WRAPPED, "retry: 0", 'retry: {max: 1, when: "stuck_or_timeout_failure"}'),
        (BARE, "parallel: 3", "parallel: {matrix: [{A: [1, 2]}]}"),
        (BARE, "export NX_BASE=$CI_MERGE_REQUEST_DIFF_BASE_SHA", "NX_BASE=$X yarn nx format:check"),
        (BARE, "export NX_BASE=$CI_MERGE_REQUEST_DIFF_BASE_SHA", "NX_BASE=$(git merge-base a b)\n    - export NX_BASE NX_HEAD"),
        (BARE, "export NX_BASE=$CI_MERGE_REQUEST_DIFF_BASE_SHA", "set -a; NX_BASE=$X; set +a"),
        (BARE, "export NX_BASE=$CI_MERGE_REQUEST_DIFF_BASE_SHA", 'eval "$(nx-dte resolve-base)"'),
        (BARE, "export NX_BASE=$CI_MERGE_REQUEST_DIFF_BASE_SHA", 'echo "NX_BASE=$NX_BASE"'),
        (BARE, "variables: {GIT_DEPTH", "variables: {OTHER"),
        (BARE, "NX_CLOUD_AGENT_TIMEOUT_MS", "X"),
        (BARE, "cache: {key: k, paths: [.yarn-cache], policy: pull}", "retry: 2"),
    ],
)  # fmt: skip
def test_what_only_looks_like_a_fault(text: str, old: str, new: str) -> None:
    assert old in text
    changed = text.replace(old, new, 1)
    if "verify" in changed:
        changed = changed.replace("variables: {FF", "variables: {NX_DTE_MAIN_JOB: verify, FF")
    if "OTHER" in changed:
        changed = changed.replace("yarn nx affected", "git fetch --unshallow && yarn nx affected")
    if "{X:" in changed:
        changed = changed.replace("parallel: 3", "parallel: 3\n  timeout: 20m")
    assert faults(changed) == set()


@pytest.mark.parametrize(
    "change",
    [
        ("  retry: 0", "  variables: {NX_CLOUD_API: https://nx-dte.example.org}"),
        ("  retry: 0", "  variables: {NX_DTE_GUARD_MODE: mirror}"),
        ("  retry: 0", "  variables: {NX_DTE_GUARD_MODE: 'off'}"),
        ("orchestrate --", "orchestrate --guard=off --"),
        (
            "    - yarn install\n    - nx-dte orch",
            "    - export NX_CLOUD_API=https://x.example\n    - nx-dte orch",
        ),
    ],
)
def test_a_guard_job_is_not_missed_where_something_else_tells_or_somebody_has_decided(
    change: tuple[str, str],
) -> None:
    without = WRAPPED.replace("nx-dte guard record", "echo")
    assert faults(without) == {"no-guard"}
    assert faults(without.replace(*change)) == set()


def test_an_explicit_mode_that_needs_evidence_does_not_settle_it() -> None:
    strict = WRAPPED.replace("nx-dte guard record", "echo").replace(
        "  retry: 0", "  variables: {NX_DTE_GUARD_MODE: strict}"
    )
    assert faults(strict) == {"no-guard"}


# ---------------------------------------------------------------------------------------- slots
def test_shared_runners_are_a_note_where_nobody_waits_for_ever() -> None:
    shared = WRAPPED.replace("nx-agent]", "nx-main]")
    found = findings(shared)
    assert [(finding.code, finding.severity) for finding in found] == [
        (FaultCode.SHARED_SLOTS, Severity.NOTE)
    ]


@pytest.mark.parametrize(
    ("text", "slots", "message"),
    [
        (WRAPPED, Slots(main=2, agent=6), None),
        (WRAPPED, Slots(main=1, agent=3), None),
        (WRAPPED, Slots(main=3, agent=8), "3 main jobs at once x 3 agents = 9 agent slots, and there are 8, enough for 2"),
        (WRAPPED, Slots(main=2, agent=4), "enough for 1: the other main jobs wait. Have 1 main slot, or 6 agent slots"),
        (WRAPPED, Slots(main=1, agent=1), "3 agents for a pipeline, and 1 agent slot: 2 of them start when others have left"),
        (WRAPPED, Slots(main=1, agent=2), "3 agents for a pipeline, and 2 agent slots: 1 of them start when others have left"),
        (WRAPPED, Slots(shared=4), None),
        (WRAPPED, Slots(shared=3), "1 main + 3 agents = 4 slots for a pipeline, and there are 3"),
        (BARE, Slots(shared=9), "so 9 slots carry 2 at once; 9 pipelines at once can fill them with main jobs"),
        (WRAPPED.replace("parallel: 3", "parallel: $[[ inputs.n ]]"), Slots(shared=1), None),
    ],
)  # fmt: skip
def test_the_sum_of_slots_is_stated(text: str, slots: Slots, message: str | None) -> None:
    found = findings(text, slots=slots)
    if message is None:
        assert found == ()
    else:
        assert [finding.code for finding in found] == [FaultCode.SLOTS]
        assert message in found[0].message


def test_agents_of_a_matrix_and_of_several_jobs_are_counted() -> None:
    many = WRAPPED.replace("parallel: 3", "parallel: {matrix: [{A: [1, 2], B: [x, y]}, {A: 3}]}")
    found = findings(many, slots=Slots(main=1, agent=4))
    assert "5 agents for a pipeline, and 4 agent slots" in found[0].message


# ---------------------------------------------------------------------------------------- the recipe
def test_the_recipe_as_printed_has_its_real_faults() -> None:
    found = lint(RECIPE)
    assert {finding.code.value for finding in found if finding.severity is Severity.FAULT} == {
        "different-rules",
        "undeclared-stage",
        "base-not-exported",
        "before-sha",
        "shallow-clone",
        "no-guard",
        "uncapped-agents",
        "shared-slots",
        "cache-pushers",
    }
    agents = ("nx-dte-agent1", "nx-dte-agent2", "nx-dte-agent3")
    by_code = {finding.code.value: finding for finding in found}
    assert by_code["different-rules"].jobs == by_code["uncapped-agents"].jobs == agents
    assert by_code["undeclared-stage"].jobs == ("nx-dte", *agents)
    assert "only: branches, tags" in by_code["different-rules"].message
    assert "only: main, merge_requests" in by_code["different-rules"].message
    lines = RECIPE.read_text(encoding="utf-8").splitlines()
    assert "NX_BASE=${CI_MERGE" in lines[by_code["before-sha"].place.line - 1]
    assert "stage: affected" in lines[by_code["undeclared-stage"].place.line - 1]


# ---------------------------------------------------------------------------------------- what was not read
def test_what_may_be_in_an_include_that_was_not_read_is_a_note() -> None:
    text = BARE.replace("stages: [affected]", "include: {project: acme/ci, file: /base.yml}")
    found = findings(text)
    assert {(finding.code.value, finding.severity.value) for finding in found} == {
        ("unread-include", "note"),
        ("undeclared-stage", "note"),
        ("no-guard", "note"),
    }
    assert "project: acme/ci, file: /base.yml" in found[0].message

"""What GitLab makes of a file: references, extends, defaults, includes; and where everything stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from nx_dte.pipeline import CiFileError, lint
from nx_dte.pipeline.ci_file import CiFile, read
from nx_dte.pipeline.ci_job import CiJob, JobRole
from tests.unit.pipeline.texts import QUICK


def resolved(text: str) -> CiFile:
    return read(Path("ci.yml"), text=text)


def job(text: str, name: str = "job") -> CiJob:
    return next(job for job in resolved(text).jobs if job.name == name)


# ---------------------------------------------------------------------------------------- putting together
def test_extends_merges_mappings_and_replaces_the_rest() -> None:
    found = job("""
.a: {script: [a], variables: {A: a, X: a}, tags: [a, b], stage: one}
.b: {extends: .a, variables: {B: b, X: b}, tags: [c]}
.c: {variables: {X: c}}
job: {extends: [.b, .c], script: [d]}
""")
    assert found.variables == {"A": "a", "B": "b", "X": "c"}
    assert found.tags == {"c"}
    assert [line.text for line in found.lines] == ["d"]
    assert found.stage == "one"


def test_a_null_takes_away_what_was_inherited() -> None:
    found = job(
        ".a: {needs: [x], retry: 2, cache: {key: k}}\njob: {extends: .a, script: [d], needs: null, retry: null}"
    )
    assert found.needs is None
    assert not found.retry.is_on


def test_references_are_followed_into_lists_before_extends() -> None:
    found = job("""
.setup: {script: [one, two], variables: {A: "1"}}
.more: {script: [!reference [.setup, script], three]}
.base: {before_script: [!reference [.more, script], four]}
job: {extends: .base, script: [five], variables: !reference [.setup, variables]}
""")
    assert [line.text for line in found.lines] == ["one", "two", "three", "four", "five"]
    assert found.variables == {"A": "1"}


def test_anchors_and_merge_keys_are_yaml() -> None:
    found = job("""
.defaults: &defaults {tags: [x], stage: one}
.lines: &lines [a, b]
job: {<<: *defaults, stage: two, script: [*lines, c]}
""")
    assert (found.tags, found.stage) == (frozenset({"x"}), "two")
    assert [line.text for line in found.lines] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("inherit", "tags", "before"),
    [
        ("", {"d"}, ["old"]),
        ("inherit: {default: false}", set(), []),
        ("inherit: {default: [tags]}", {"d"}, []),
        ("tags: [own]", {"own"}, ["old"]),
        ("before_script: []", {"d"}, []),
    ],
)
def test_defaults_are_inherited_unless_the_job_says_otherwise(
    inherit: str, tags: set[str], before: list[str]
) -> None:
    found = job(f"default: {{tags: [d]}}\nbefore_script: [old]\njob:\n  script: [run]\n  {inherit}\n")
    assert found.tags == tags
    assert [line.text for line in found.lines] == [*before, "run"]


@pytest.mark.parametrize(
    ("inherit", "expected"),
    [
        ("", {"A": "1", "B": "own", "C": "true", "D": "x"}),
        ("inherit: {variables: false}", {"B": "own"}),
        ("inherit: {variables: [A]}", {"A": "1", "B": "own"}),
    ],
)
def test_variables_of_the_file_come_before_the_jobs_own(inherit: str, expected: dict[str, str]) -> None:
    text = f"variables: {{A: 1, B: 2, C: true, D: {{value: x, description: y}}}}\njob:\n  script: [run]\n  variables: {{B: own}}\n  {inherit}\n"
    assert job(text).variables == expected


def test_hidden_jobs_and_keywords_are_no_jobs() -> None:
    found = resolved(
        "workflow: {rules: []}\nstages: [a]\nimage: {name: x}\n.hidden: {script: [a]}\njob: {script: [a]}\n'on': {script: [a]}"
    )
    assert [each.name for each in found.jobs] == ["job", "on"]
    assert found.stages == (".pre", "a", ".post")
    assert found.has_workflow_rules


def test_a_header_of_inputs_is_passed_over() -> None:
    found = resolved(
        "spec:\n  inputs: {tag: {default: x}}\n---\njob: {script: [a], tags: ['$[[ inputs.tag ]]']}\n"
    )
    assert [each.name for each in found.jobs] == ["job"]


def test_lines_are_where_they_stand_also_when_inherited() -> None:
    text = """\
.base:
  script:
    - one
    - |
      # nothing here
      nx-dte agent
job:
  extends: .base
"""
    found = job(text)
    assert [(line.text, line.place.line) for line in found.lines] == [("one", 3), ("nx-dte agent", 4)]
    assert found.place.line == 7
    assert found.place_of("script").line == 2


# ---------------------------------------------------------------------------------------- includes
def test_local_includes_are_read_below_the_repository_and_overridden(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "ci/jobs").mkdir(parents=True)
    (tmp_path / "ci/a.yml").write_text(
        "include: /ci/jobs/*.yml\n.base: {tags: [a], stage: one}\n", encoding="utf-8"
    )
    (tmp_path / "ci/jobs/x.yml").write_text(
        "x:\n  extends: .base\n  script: [nx-dte agent]\n", encoding="utf-8"
    )
    file = tmp_path / "pipelines/ci.yml"
    file.parent.mkdir()
    file.write_text("include: [{local: ci/a.yml}]\n.base: {tags: [b]}\n", encoding="utf-8")
    found = read(file)
    assert found.is_whole
    (only,) = found.jobs
    assert (only.tags, only.stage) == (frozenset({"b"}), "one")
    assert only.place.file == str(tmp_path / "ci/jobs/x.yml")
    assert only.lines[0].place.line == 3


@pytest.mark.parametrize(
    ("include", "named"),
    [
        ("https://example.org/ci.yml", "https://example.org/ci.yml"),
        ("{project: acme/ci, ref: main, file: /a.yml}", "project: acme/ci, ref: main, file: /a.yml"),
        ("[{template: Auto-DevOps.gitlab-ci.yml}]", "template: Auto-DevOps.gitlab-ci.yml"),
        ("{component: $CI_SERVER_FQDN/x@1}", "component: $CI_SERVER_FQDN/x@1"),
        ("{local: /gone.yml}", "/gone.yml (not found"),
        ("{local: ../../outside.yml}", "../../outside.yml (not found"),
        ("{local: '/$WHICH.yml'}", "local: /$WHICH.yml"),
    ],
)
def test_other_includes_are_named(tmp_path: Path, include: str, named: str) -> None:
    (tmp_path / "outside.yml").write_text("x: {script: [a]}\n", encoding="utf-8")
    (tmp_path / "a/b").mkdir(parents=True)
    file = tmp_path / "a/b/ci.yml"
    file.write_text(f"include: {include}\njob: {{script: [a]}}\n", encoding="utf-8")
    found = read(file)
    assert not found.is_whole
    assert named in found.unread[0].what
    assert [each.name for each in found.jobs] == ["job"]


# ---------------------------------------------------------------------------------------- roles
@pytest.mark.parametrize(
    ("line", "role", "is_wrapped"),
    [
        ("nx-dte orchestrate -- nx affected", JobRole.MAIN, True),
        ("yarn nx-cloud start-ci-run --distribute-on=manual", JobRole.MAIN, False),
        ("npx nx-cloud@latest start-nx-agents", JobRole.MAIN, False),
        ("yarn nx start-ci-run", JobRole.MAIN, False),
        ("nx-dte agent --lifetime 3000", JobRole.AGENT, True),
        ("/opt/bin/nx-dte  agent", JobRole.AGENT, True),
        ("pnpm exec nx-cloud start-agent", JobRole.AGENT, False),
        ("nx-dte guard record", JobRole.GUARD, False),
        ("nx-dte agents", None, False),
        ("my-nx-dte agent", None, False),
        ("# nx-dte agent", None, False),
        ("nx-cloud record -- nx format:check", None, False),
    ],
)  # fmt: skip
def test_a_job_is_known_by_what_it_runs(line: str, role: JobRole | None, *, is_wrapped: bool) -> None:
    found = job(yaml.safe_dump({"job": {"script": ["yarn install", line]}}))
    assert found.role is role
    if role in {JobRole.MAIN, JobRole.AGENT}:
        assert found.is_wrapped is is_wrapped


def test_a_job_that_runs_main_and_an_agent_is_main() -> None:
    assert job("job: {script: [nx-cloud start-agent &, nx-cloud start-ci-run]}").role is JobRole.MAIN


# ---------------------------------------------------------------------------------------- what cannot be read
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("job: [", "no YAML"),
        ("job: !mine x", "no YAML"),
        ("- a\n- b", "no mapping"),
        ("just text", "no mapping"),
        ("a: {script: !reference x}", "!reference needs a list"),
        ("a: {script: !reference []}", "!reference needs a list"),
        ("{[a]: x}", "a key must be"),
        ("a: {extends: b}\nb: {extends: a}", "in a circle"),
        (".a: {x: !reference [.b, x]}\n.b: {x: !reference [.a, x]}", "in a circle"),
        ("a: &a [*a]", "in a circle"),
        ("a: &a {b: *a}", "in a circle"),
        ("x" * 2_000_001, "larger than"),
        ("a: \x00", "no YAML"),
    ],
)
def test_what_gitlab_could_not_read_is_an_error(text: str, message: str) -> None:
    with pytest.raises(CiFileError, match=message) as caught:
        resolved(text)
    assert (caught.value.exit_code, caught.value.code) == (78, "ci_file_unreadable")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Some words,\nand more: words\n", "line 2: mapping values are not allowed here"),
        ("a: \x00", "unacceptable character #x0000: special characters are not allowed at position 3"),
    ],
)
def test_an_error_of_the_parser_is_one_line_that_says_where(text: str, words: str) -> None:
    with pytest.raises(CiFileError) as caught:
        resolved(text)
    assert caught.value.message.endswith(f"is no YAML that GitLab would read: {words}")


def test_an_include_in_a_circle_is_an_error(tmp_path: Path) -> None:
    file = tmp_path / "ci.yml"
    file.write_text("include: /ci.yml\n", encoding="utf-8")
    with pytest.raises(CiFileError, match="in a circle"):
        read(file)


def test_files_that_are_not_there_or_no_text_are_errors(tmp_path: Path) -> None:
    with pytest.raises(CiFileError, match="cannot be read: No such file"):
        read(tmp_path / "gone.yml")
    (tmp_path / "binary.yml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CiFileError, match="no text in UTF-8"):
        read(tmp_path / "binary.yml")


def test_an_empty_file_has_no_jobs() -> None:
    assert resolved("").jobs == ()
    assert resolved("# nothing\n").jobs == ()


# ---------------------------------------------------------------------------------------- whatever there is
_WORDS = st.sampled_from(
    [
        "nx-dte agent",
        "nx-dte orchestrate",
        "nx-dte guard record",
        "nx-cloud start-agent",
        "nx-cloud start-ci-run",
        "x",
        "",
        "$X",
    ]
)
_LEAVES = st.none() | st.booleans() | st.integers(-5, 300) | st.floats(allow_nan=False) | _WORDS
_KEYS = st.sampled_from(
    ["script", "before_script", "extends", "needs", "job", "stage", "stages", "rules", "if", "when", "only", "except", "tags",
     "parallel", "matrix", "variables", "value", "retry", "max", "exit_codes", "allow_failure", "cache", "policy", "key",
     "default", "inherit", "workflow", "include", "local", "resource_group", "timeout", "dependencies", "a", ".b", "nx-dte"]
)  # fmt: skip
_ANYTHING = st.recursive(
    _LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=25,
)


@pytest.mark.slow
@pytest.mark.timeout(600)
@QUICK
@given(document=st.dictionaries(_KEYS, st.dictionaries(_KEYS, _ANYTHING, max_size=6) | _ANYTHING, max_size=5))
def test_a_file_of_any_shape_is_linted_or_refused(document: dict[str, Any]) -> None:
    try:
        found = lint(Path("ci.yml"), text=yaml.safe_dump(document))
    except CiFileError:
        return
    assert all(finding.place.line >= 1 and finding.message for finding in found)


# ---------------------------------------------------------------------------------------- beyond all measure
def anchors_of_anchors(levels: int, width: int) -> str:
    """A few lines that come to `width` to the power of `levels` values."""
    lines = ["a0: &a0 [x]"]
    for level in range(1, levels + 1):
        names = ", ".join([f"*a{level - 1}"] * width)
        lines.append(f"a{level}: &a{level} [{names}]")
    return "\n".join(lines)


@pytest.mark.parametrize("text", [anchors_of_anchors(6, 9), f"job: {{script: {'[' * 60}x{']' * 60}}}"])
def test_what_no_pipeline_comes_to_is_refused_by_the_files_name(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nx_dte.pipeline.ci_file.MAX_VALUES", 10_000)
    with pytest.raises(CiFileError, match=r"^ci\.yml"):
        resolved(text)


def test_many_jobs_are_looked_at_in_time() -> None:
    agents = "".join(f"agent{n}: {{extends: .agent}}\n" for n in range(600))
    found = lint(Path("ci.yml"), text=f".agent: {{script: [nx-dte agent], stage: test}}\n{agents}")
    assert {len(finding.jobs) for finding in found} == {0, 600}


def test_a_file_without_jobs_is_named() -> None:
    assert {finding.place.file for finding in lint(Path("ci.yml"), text="# nothing")} == {"ci.yml"}

"""Whatever text goes into a file's scalar comes out of it again, and nothing else does."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from nx_dte.pipeline.scalars import Verbatim, flow_list, folded, scalar
from tests.unit.pipeline.texts import ANY_TEXT, LINE, QUICK


@QUICK
@given(value=ANY_TEXT | st.integers() | st.booleans(), prefers_single=st.booleans())
def test_a_scalar_means_what_it_was_made_of(value: str | int, *, prefers_single: bool) -> None:
    text = scalar(value, prefers_single=prefers_single)
    assert "\n" not in text
    assert yaml.safe_load(f"key: {text}") == {"key": value}
    assert yaml.safe_load(f"- {text}\n- next") == [value, "next"]


@QUICK
@given(key=ANY_TEXT)
def test_a_scalar_can_be_a_key(key: str) -> None:
    assert yaml.safe_load(f"{scalar(key)}:\n  x: 1") == {key: {"x": 1}}


@QUICK
@given(values=st.lists(ANY_TEXT | st.integers(), max_size=4), prefers_single=st.booleans())
def test_a_flow_list_means_what_it_was_made_of(values: list[str | int], *, prefers_single: bool) -> None:
    text = flow_list(tuple(values), prefers_single=prefers_single)
    assert yaml.safe_load(f"key: {text}\nnext: 1") == {"key": values, "next": 1}


@QUICK
@given(lines=st.lists(LINE.map(str.strip), min_size=1, max_size=4))
def test_folded_lines_are_one_line_again(lines: list[str]) -> None:
    text = folded(tuple(lines), 4)
    assert yaml.safe_load(f"a:\n  - {text}\n  - next") == {"a": [" ".join(lines), "next"]}


@pytest.mark.parametrize("line", ["", " a", "a ", "a\nb", "\u2028"])
def test_lines_that_folding_would_change_are_refused(line: str) -> None:
    with pytest.raises(ValueError, match="cannot be a line"):
        folded(("first", line), 4)


@pytest.mark.parametrize(
    "text",
    ["yarn install --frozen-lockfile", "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH", ".nx-dte/guard.json", "node:18", "https://x.example",
     "nx-dte orchestrate -- nx affected -t lint,test"],
)  # fmt: skip
def test_what_people_would_not_quote_is_not_quoted(text: str) -> None:
    assert scalar(text) == text


@pytest.mark.parametrize(
    "text", ["yes", "y", "nil", "1_000", "1,000", "0x10", ":sym", "2026-01-01", "1:30", ".5"]
)
def test_what_another_reader_takes_for_something_else_is_quoted(text: str) -> None:
    """Psych, js-yaml and PyYAML do not agree on these."""
    assert scalar(text) == f'"{text}"'


@pytest.mark.parametrize(
    ("text", "double", "single"),
    [
        ("5 days", '"5 days"', "'5 days'"),
        ("5 o'clock", '"5 o\'clock"', '"5 o\'clock"'),
        ('a: "b"', "'a: \"b\"'", "'a: \"b\"'"),
        ("5\t", '"5\\t"', '"5\\t"'),
    ],
)
def test_the_other_quotes_are_used_where_they_need_no_escape(text: str, double: str, single: str) -> None:
    assert (scalar(text), scalar(text, prefers_single=True)) == (double, single)


def test_a_list_is_no_scalar() -> None:
    with pytest.raises(TypeError, match="list is no YAML scalar"):
        scalar(["a"])
    assert scalar(Verbatim("[a]")) == "[a]"

"""What a task printed, made fit."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nx_dte.summary import first_error_line, plain_text, tail
from nx_dte.summary.output import MAX_LINE


@pytest.mark.parametrize(
    ("output", "text"),
    [
        ("\x1b[1;31mred\x1b[0m and \x1b[2K\x1b[1Gback", "red and back"),
        ("\x1b]8;;https://x\x07link\x1b]8;;\x1b\\ end", "link end"),
        ("one\r\ntwo\rthree", "one\ntwo\nthree"),
        ("tab\tand \x00\x08\x1f\ufffe control", "tab\tand  control"),
        ("ünï✓", "ünï✓"),
    ],
)
def test_plain_text(output: str, text: str) -> None:
    assert plain_text(output) == text


@given(st.text())
def test_plain_text_is_fit_for_xml_and_stays_as_it_is(output: str) -> None:
    text = plain_text(output)
    assert ET.fromstring(f"<a>{_escaped(text)}</a>").text == (text or None)
    assert plain_text(text) == text


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


@pytest.mark.parametrize(
    ("output", "line"),
    [
        ("", ""),
        ("\n \n", ""),
        ("> nx run a:test\n\nall\nwell\n", "well"),
        ("> error: is a title\n  TypeError: x is undefined\n    at y\nFailed\n", "TypeError: x is undefined"),
        ("checked 3 files, 0 errors\n  ✖ adds numbers\n", "✖ adds numbers"),
        ("src/a.ts(3,4): error TS2322: no\n", "src/a.ts(3,4): error TS2322: no"),
        ("  ● suite > case\n    expect(1).toBe(2)\n", "● suite > case"),
        (
            "npm ERR! code 1\nAssertionError [ERR_ASSERTION]: 1 == 2\n",
            "AssertionError [ERR_ASSERTION]: 1 == 2",
        ),
        ("terrors and failover are no errors of ours\n", "terrors and failover are no errors of ours"),
        ("\x1b[31mFAIL\x1b[39m src/x.test.js\n", "FAIL src/x.test.js"),
    ],
)
def test_the_line_that_says_why(output: str, line: str) -> None:
    assert first_error_line(output) == line


def test_a_very_long_line_is_cut() -> None:
    line = first_error_line("Error: " + "x" * 1000)
    assert (len(line), line[-1]) == (MAX_LINE, "…")


def test_a_tail_counts_what_it_leaves_out() -> None:
    output = "".join(f"line {number}\n" for number in range(10))
    assert tail(output, lines=4) == "[7 lines before]\nline 7\nline 8\nline 9"
    assert tail(output, lines=10) == output.rstrip("\n")
    assert tail("", lines=3) == ""

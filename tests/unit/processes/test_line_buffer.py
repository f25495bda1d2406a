"""Chunks in, lines out."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from nx_dte.processes import LineBuffer, exit_code_of
from nx_dte.processes.child import MAX_HELD_BYTES

texts = st.lists(
    st.sampled_from([b"a", b"\n", b"\r", b"\r\n", b"\xc3", b"\xbc", b"\x1b[0K", b"long " * 50])
).map(b"".join)


@given(text=texts, cuts=st.lists(st.integers(0, 3000)), reads=st.lists(st.booleans(), min_size=1))
def test_however_it_is_cut_the_lines_are_the_same(text: bytes, cuts: list[int], reads: list[bool]) -> None:
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    buffer, lines = LineBuffer(), []
    for number, (begin, end) in enumerate(pairwise(places)):
        buffer.put(text[begin:end])
        if reads[number % len(reads)]:
            lines += buffer.take(is_over=False)
    assert all(line.endswith(b"\n") for line in lines)
    lines += buffer.take(is_over=True)
    whole = [line + b"\n" for line in text.split(b"\n")]
    whole[-1] = whole[-1][:-1]
    assert lines == [line for line in whole if line]
    assert b"".join(lines) == text


def test_a_line_that_never_ends_is_given_out_in_pieces() -> None:
    buffer = LineBuffer()
    buffer.put(b"x" * (MAX_HELD_BYTES - 1))
    assert buffer.take(is_over=False) == []
    buffer.put(b"y")
    assert buffer.take(is_over=False) == [b"x" * (MAX_HELD_BYTES - 1) + b"y"]
    assert buffer.take(is_over=True) == []


def test_an_end_as_a_shell_says_it() -> None:
    assert [exit_code_of(code) for code in (0, 3, -9, -15)] == [0, 3, 137, 143]

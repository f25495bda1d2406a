"""Text that is hard on YAML, on shells and on GitLab."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st

__all__ = ["ANY_TEXT", "LINE", "QUICK"]

QUICK = settings(max_examples=150, deadline=None, derandomize=True)

_SIGNS = [chr(code) for code in range(0x20, 0x7F)]
_LINE_SIGNS = st.sampled_from([*_SIGNS, "é", "ß", "日", "🚀"] + list("'\"\\`$#:&*!|>%@{}[],?- ") * 2)
_OTHER_SIGNS = st.sampled_from(list("\n\r\t\x00\x07\x1b\x7f\x85\xa0\u2028\u2029\ufeff"))
# What YAML, or one reader of it, takes for something else than text.
_AWKWARD = st.sampled_from(
    ["", "yes", "No", "ON", "~", "null", "nil", "y", ".inf", "-.5", "0123", "0x1f", "1_000", "1,000", "1:30", "2026-01-01",
     "- a", "? a", "a: b", "a :b", "a #b", "#a", "a:", "'a'", '"a"', "a'b\"c", "{a}", "[a]", "*a", "&a", "!a", "%a", "@a",
     "`a`", "|", ">", "a\nb", "a\n\n# b", " a", "a ", "\ta", "a\tb", "---", "...", ":sym", "=", "<<", "$VAR", "${VAR}", "$(x)",
     "\\n", "a\n  injected: true", "x'; rm -rf / #", "$(reboot)", "{{ 7 * 7 }}", "{% raw %}", "!reference [.x]"]
)  # fmt: skip

ANY_TEXT = st.text(_LINE_SIGNS | _OTHER_SIGNS, max_size=30) | _AWKWARD
LINE = (st.text(_LINE_SIGNS, min_size=1, max_size=30) | _AWKWARD).filter(
    lambda text: text.isprintable() and bool(text.strip())
)
"""One line that can be printed, and is not empty."""

"""Writes single values as YAML: whatever text comes in, the same text comes out of any reader, and nothing else."""

from __future__ import annotations

import json
import re

import yaml

__all__ = ["Verbatim", "flow_list", "folded", "scalar"]

# GitLab reads with Ruby's Psych, gitlab-ci-local with js-yaml, we with PyYAML: what starts with a letter, a path or a
# variable and holds nothing of YAML's own means the same to all of them.
_PLAIN = re.compile(r"(?:[A-Za-z$_/]|\.(?=[A-Za-z_/]))[\w ./@=+$~^;'\"()<>|?*:,-]*", re.ASCII)
_AMBIGUOUS = re.compile(r":(?:\s|$)|\s$|\s#")
_IN_FLOW = re.compile(r"[\w ./@=+$-]*", re.ASCII)
# Words that one or the other reader takes for a truth value, nothing, or a number.
_WORDS = frozenset(
    {"y", "n", "yes", "no", "on", "off", "true", "false", "null", "nil", "inf", "infinity", "nan"}
)


class Verbatim(str):
    """Text that is YAML already."""

    __slots__ = ()


def scalar(value: object, *, prefers_single: bool = False) -> str:
    """The value as one line of YAML, quoted only where it has to be; with `prefers_single` in single quotes if it can be.

    Raises:
        TypeError: it is no text, number or truth value: a template that prints a list by accident.
    """
    if isinstance(value, Verbatim):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} is no YAML scalar")
    return value if _is_plain(value) else _quoted(value, prefers_single=prefers_single)


def flow_list(values: tuple[object, ...], *, prefers_single: bool = False) -> Verbatim:
    """`[a, b]`."""
    items = [
        text
        if not isinstance(value, str) or (_is_plain(value) and _IN_FLOW.fullmatch(value))
        else _quoted(value, prefers_single=prefers_single)
        for value in values
        for text in (scalar(value, prefers_single=prefers_single),)
    ]
    return Verbatim(f"[{', '.join(items)}]")


def folded(lines: tuple[str, ...], indent: int, *, prefers_single: bool = False) -> Verbatim:
    """One long line in several, as YAML's `>-` puts it together again with a space between each two.

    Raises:
        ValueError: a line would not come out of that as it went in.
    """
    if len(lines) == 1:
        return Verbatim(scalar(lines[0], prefers_single=prefers_single))
    for line in lines:
        if not line or line != line.strip() or not line.isprintable():
            raise ValueError(f"{line!r} cannot be a line of folded text")
    margin = "\n" + " " * indent
    return Verbatim(">-" + margin + margin.join(lines))


def _is_plain(text: str) -> bool:
    if text.lower().lstrip(".") in _WORDS or _AMBIGUOUS.search(text) or not _PLAIN.fullmatch(text):
        return False
    return bool(yaml.safe_load(text) == text)


def _quoted(text: str, *, prefers_single: bool) -> str:
    """In double quotes, as JSON has it; in single ones where they are preferred, or read better, and need no escape."""
    if text.isprintable() and "'" not in text and (prefers_single or "\\" in text or '"' in text):
        return f"'{text}'"
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(sign if sign.isprintable() else f"\\U{ord(sign):08x}" for sign in quoted)

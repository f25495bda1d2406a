"""Evaluates `if:` expressions: variables, strings, patterns, null, `== != =~ !~ && || ( )`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.support.gitlab.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["is_true"]

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<open>\() | (?P<close>\))
    | \$(?P<variable>\w+) | \$\{(?P<braced>\w+)\}
    | "(?P<double>[^"]*)" | '(?P<single>[^']*)'
    | (?P<pattern>/(?:\\/|[^/])+/[ismU]*)
    | (?P<null>null\b)
    | (?P<boolean>(?:true|false)\b)
    | (?P<operator>==|!=|=~|!~|&&|\|\|)
    )""",
    re.VERBOSE,
)
_PATTERN = re.compile(r"\A/(?P<body>.+)/(?P<flags>[ismU]*)\Z", re.DOTALL)
_FLAGS = {"i": re.IGNORECASE, "s": re.DOTALL, "m": re.MULTILINE}

_Value = str | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    kind: str
    text: str


def is_true(expression: str, variables: Mapping[str, str]) -> bool:
    """Whether the expression holds for these variables; an undefined one is null.

    Raises:
        ApiError: The expression is not one that GitLab would accept.
    """
    value = _Parser(_tokens(expression), variables, expression).parse()
    return bool(value)


def _tokens(expression: str) -> list[_Token]:
    tokens = []
    position = 0
    text = expression.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise ApiError(400, f"invalid expression syntax: {expression}")
        tokens.append(_Token(kind=match.lastgroup, text=match[match.lastgroup]))
        position = match.end()
    return tokens


class _Parser:
    """Recursive descent: `||` binds least, then `&&`, then the comparisons."""

    def __init__(self, tokens: list[_Token], variables: Mapping[str, str], expression: str) -> None:
        self._tokens = tokens
        self._variables = variables
        self._expression = expression
        self._at = 0

    def parse(self) -> _Value:
        value = self._any_of()
        if self._at != len(self._tokens):
            raise self._error()
        return value

    def _error(self) -> ApiError:
        return ApiError(400, f"invalid expression syntax: {self._expression}")

    def _next_is(self, kind: str, *texts: str) -> bool:
        if self._at >= len(self._tokens):
            return False
        token = self._tokens[self._at]
        return token.kind == kind and (not texts or token.text in texts)

    def _take(self) -> _Token:
        if self._at >= len(self._tokens):
            raise self._error()
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _any_of(self) -> _Value:
        value = self._all_of()
        while self._next_is("operator", "||"):
            self._take()
            other = self._all_of()
            value = value or other
        return value

    def _all_of(self) -> _Value:
        value = self._comparison()
        while self._next_is("operator", "&&"):
            self._take()
            other = self._comparison()
            value = value and other
        return value

    def _comparison(self) -> _Value:
        value = self._operand()
        while self._next_is("operator", "==", "!=", "=~", "!~"):
            operator = self._take().text
            other = self._operand()
            if operator in {"==", "!="}:
                value = (value == other) is (operator == "==")
            else:
                value = _matches(value, other) is (operator == "=~")
        return value

    def _operand(self) -> _Value:
        token = self._take()
        if token.kind == "open":
            value = self._any_of()
            if self._take().kind != "close":
                raise self._error()
            return value
        if token.kind in {"variable", "braced"}:
            return self._variables.get(token.text)
        if token.kind == "null":
            return None
        if token.kind == "boolean":
            return token.text == "true"
        if token.kind in {"double", "single", "pattern"}:
            return token.text
        raise self._error()


def _matches(value: _Value, pattern: _Value) -> bool:
    if not isinstance(value, str) or not isinstance(pattern, str):
        return False
    parts = _PATTERN.match(pattern)
    if parts is None:
        return False
    flags = re.NOFLAG
    for letter in parts["flags"]:
        flags |= _FLAGS.get(letter, re.NOFLAG)
    return re.search(parts["body"].replace(r"\/", "/"), value, flags) is not None

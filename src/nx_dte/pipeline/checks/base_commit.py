"""Whether main compares with the right commit."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nx_dte.pipeline.finding import FaultCode, Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nx_dte.pipeline.cast import Cast
    from nx_dte.pipeline.ci_job import CiJob
    from nx_dte.pipeline.located import Place

__all__ = ["check_before_sha", "check_export", "check_history", "check_time"]

_FINDS_BASE = re.compile(r"(?<![\w.-])nx-dte\s+(?:orchestrate|resolve-base)(?![\w-])")
_COMPARES = re.compile(r"\baffected\b|--base\b|format:check")
_FETCHES = re.compile(r"\bgit\s+fetch\b[^;&|\n]*--(?:unshallow|depth|deepen|shallow-since)")
_VALUE = r"""(?:"[^"]*"|'[^']*'|\$\([^)]*\)|\$\{[^}]*\}|[^\s;&|"'])*"""
_ASSIGNMENT = re.compile(
    rf"(?:^|[;&|(]|\bthen\b|\belse\b|\bdo\b)\s*(NX_BASE|NX_HEAD)={_VALUE}(?=(.?))", re.MULTILINE
)
_EXPORTS_ALL = re.compile(r"\bset\s+-[a-zA-Z]*a|\bset\s+-o\s+allexport")
_ORCHESTRATES = re.compile(r"(?<![\w.-])nx-dte\s+orchestrate(?![\w-])[^\n]*")
_USED = r"\$\{?(NX_BASE|NX_HEAD)\b"
# What the shell leaves alone, and what it does not; an apostrophe in double quotes quotes nothing.
_QUOTED_OR_USED = re.compile(rf"""'[^']*'|\\.|"((?:\\.|[^"\\])*)"|{_USED}""", re.DOTALL)
_ESCAPED_OR_USED = re.compile(rf"\\.|{_USED}", re.DOTALL)
_ALL_COMMITS = 0


def check_history(cast: Cast) -> Iterator[Finding]:
    """Is there enough of git's history?"""
    for main in cast.mains:
        text = main.text
        if _FINDS_BASE.search(text) or _FETCHES.search(text) or not _COMPARES.search(text):
            continue
        depth = main.variables.get("GIT_DEPTH")
        if depth is None:
            message = "GIT_DEPTH is not set, so GitLab clones as few commits as the project says (20, unless changed)"
            yield Finding.of(main, FaultCode.SHALLOW_CLONE, message, "script")
        elif depth.isdecimal() and int(depth) != _ALL_COMMITS:
            message = f"GIT_DEPTH is {depth}: a base further back is not there"
            yield _at_variable(main, FaultCode.SHALLOW_CLONE, message, "GIT_DEPTH")


def check_export(cast: Cast) -> Iterator[Finding]:
    """Does nx see the base that the script sets?"""
    for main in cast.mains:
        if _EXPORTS_ALL.search(main.text):
            continue
        found: dict[str, Place] = {}
        for line in main.lines:
            for match in _ASSIGNMENT.finditer(line.text):
                name = match[1]
                if not _is_prefix(line.text, match) and not _is_exported(main, name):
                    found.setdefault(name, line.place)
        if found:
            message = f"{' and '.join(found)} set, but not exported"
            place = min(found.values())
            yield Finding(code=FaultCode.BASE_NOT_EXPORTED, place=place, message=message, jobs=(main.name,))


def check_before_sha(cast: Cast) -> Iterator[Finding]:
    """Does main compare with zeros?"""
    for main in cast.mains:
        if "0000000" in main.text:
            continue  # it knows that they are no commit
        for line in main.lines:
            if "CI_COMMIT_BEFORE_SHA" in line.text and re.search(r"NX_BASE=|--base[= ]", line.text):
                message = "the base is CI_COMMIT_BEFORE_SHA, which is often all zeros"
                yield Finding(code=FaultCode.BEFORE_SHA, place=line.place, message=message, jobs=(main.name,))
        if "CI_COMMIT_BEFORE_SHA" in main.variables.get("NX_BASE", ""):
            message = "the variable NX_BASE is CI_COMMIT_BEFORE_SHA, which is often all zeros"
            yield _at_variable(main, FaultCode.BEFORE_SHA, message, "NX_BASE")


def check_time(cast: Cast) -> Iterator[Finding]:
    """Is the base used before it is known?"""
    for main in cast.mains:
        if "resolve-base" in main.text:
            continue
        for line in main.lines:
            joined = line.text.replace("\\\n", " ")
            commands = (match[0] for match in _ORCHESTRATES.finditer(joined))
            used = [name for command in commands for name in _used_in(command)]
            names = [name for name in dict.fromkeys(used) if not main.sets(name)]
            if names:
                message = f"${' and $'.join(names)} in the command of `nx-dte orchestrate`, and not in single quotes"
                yield Finding(
                    code=FaultCode.BASE_TOO_EARLY, place=line.place, message=message, jobs=(main.name,)
                )


def _used_in(command: str) -> Iterator[str]:
    """The names that the shell replaces in a command."""
    for match in _QUOTED_OR_USED.finditer(command):
        if match[2]:
            yield match[2]
        elif match[1]:
            yield from (each[1] for each in _ESCAPED_OR_USED.finditer(match[1]) if each[1])


def _at_variable(main: CiJob, code: FaultCode, message: str, name: str) -> Finding:
    return Finding(code=code, place=main.place_of_variable(name), message=message, jobs=(main.name,))


def _is_prefix(text: str, match: re.Match[str]) -> bool:
    """`NX_BASE=x command`: for that command it is exported."""
    rest = text[match.end() :].split("\n", 1)[0].lstrip(" \t")
    return match[2] in {" ", "\t"} and bool(rest) and rest[0] not in ";&|#)"


def _is_exported(main: CiJob, name: str) -> bool:
    if name in main.variables:
        return True  # what stood in the environment stays there
    return bool(re.search(rf"\b(?:export|declare\s+-x)\b[^;&|\n]*\b{name}\b", main.text))

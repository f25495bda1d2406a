"""One job of a file: what it runs, when, with what. Reads whatever stands there and is surprised by nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from math import prod
from typing import TYPE_CHECKING, Any

from nx_dte.pipeline.located import LocatedDict, LocatedList

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nx_dte.pipeline.located import Place

__all__ = ["CiJob", "JobRole", "Line", "Retry"]


class JobRole(StrEnum):
    """What a job does in a distributed run."""

    MAIN = "main"
    AGENT = "agent"
    GUARD = "guard"


# A program by its name or its path, then its words.
_PROGRAM = r"(?<![\w.-]){}\s+{}(?![\w-])"
_WRAPPED_MAIN = re.compile(_PROGRAM.format("nx-dte", "orchestrate"))
_BARE_MAIN = re.compile(_PROGRAM.format("nx(?:-cloud)?(?:@[\\w.-]+)?", "(?:start-ci-run|start-nx-agents)"))
_WRAPPED_AGENT = re.compile(_PROGRAM.format("nx-dte", "agent"))
_BARE_AGENT = re.compile(_PROGRAM.format("nx(?:-cloud)?(?:@[\\w.-]+)?", "start-agent"))
_GUARD_RECORD = re.compile(_PROGRAM.format("nx-dte", r"guard\s+record"))
_COMMENT = re.compile(r"(?m)^\s*#.*$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One entry of a script; it may have several lines."""

    text: str
    place: Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """`retry:` of a job."""

    is_on: bool
    when: frozenset[str]
    exit_codes: frozenset[int]

    @property
    def is_for_failures(self) -> bool:
        """Whether a script that fails with any exit code is started again."""
        return self.is_on and bool(self.when & {"always", "script_failure"})


@dataclass(frozen=True, slots=True, kw_only=True)
class CiJob:
    """A visible job, with everything it inherits."""

    name: str
    place: Place
    body: LocatedDict
    shared_variables: LocatedDict = field(default_factory=LocatedDict)

    def place_of(self, *keys: str) -> Place:
        """Where the first of these keys stands that the job has; else the job itself."""
        return next((self.body.places[key] for key in keys if key in self.body.places), self.place)

    def place_of_variable(self, name: str) -> Place:
        """Where the variable is set, for this job or for all; else the job itself."""
        own = self.body.get("variables")
        for variables in (own, self.shared_variables):
            if isinstance(variables, LocatedDict) and name in variables.places:
                return variables.places[name]
        return self.place

    # ------------------------------------------------------------------------------------ what it runs
    @property
    def lines(self) -> tuple[Line, ...]:
        """`before_script` and `script`; comment lines are left out."""
        found = [
            line
            for key in ("before_script", "script")
            for line in _lines(self.body.get(key), self.place_of(key))
        ]
        return tuple(found)

    @property
    def text(self) -> str:
        """All of it."""
        return "\n".join(line.text for line in self.lines)

    @property
    def role(self) -> JobRole | None:
        """What the job does; None: nothing that concerns nx-dte."""
        text = self.text
        if _WRAPPED_MAIN.search(text) or _BARE_MAIN.search(text):
            return JobRole.MAIN
        if _WRAPPED_AGENT.search(text) or _BARE_AGENT.search(text):
            return JobRole.AGENT
        return JobRole.GUARD if _GUARD_RECORD.search(text) else None

    @property
    def is_wrapped(self) -> bool:
        """Whether main or agent is run by `nx-dte`, and not by bare `nx-cloud` commands."""
        pattern = _WRAPPED_MAIN if self.role is JobRole.MAIN else _WRAPPED_AGENT
        return pattern.search(self.text) is not None

    @property
    def agent_lines(self) -> tuple[Line, ...]:
        """The lines that run the agent."""
        return tuple(
            line for line in self.lines if _WRAPPED_AGENT.search(line.text) or _BARE_AGENT.search(line.text)
        )

    # ------------------------------------------------------------------------------------ when and where
    @property
    def stage(self) -> str:
        """GitLab's default is `test`."""
        return str(self.body.get("stage") or "test")

    @property
    def needs(self) -> tuple[str, ...] | None:
        """Names of the jobs it waits for; None: it waits for the stages before it."""
        value = self.body.get("needs")
        if value is None:
            return None
        entries = value if isinstance(value, list) else [value]
        return tuple(
            str(entry.get("job", "")) if isinstance(entry, dict) else str(entry) for entry in entries
        )

    @property
    def tags(self) -> frozenset[str]:
        """Tags that a runner must have."""
        return frozenset(texts(self.body.get("tags")))

    @property
    def copies(self) -> int | None:
        """How many jobs GitLab makes of it; None where that cannot be known."""
        value = self.body.get("parallel")
        if value is None:
            return 1
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        matrix = value.get("matrix") if isinstance(value, dict) else None
        if not isinstance(matrix, list) or not all(isinstance(row, dict) for row in matrix):
            return None
        return sum(prod(len(texts(choices)) for choices in row.values()) for row in matrix)

    @property
    def variables(self) -> dict[str, str]:
        """The file's variables that the job gets, its own over the shared ones."""
        inherit = self.body.get("inherit")
        wanted = inherit.get("variables", True) if isinstance(inherit, dict) else True
        found = {}
        for key, value in self.shared_variables.items():
            if wanted is True or (isinstance(wanted, list) and key in wanted):
                found[key] = _value(value)
        own = self.body.get("variables")
        return found | ({key: _value(value) for key, value in own.items()} if isinstance(own, dict) else {})

    def sets(self, name: str) -> bool:
        """Whether the variable has a value here, from `variables:` or from a line of the script."""
        return bool(self.variables.get(name)) or bool(
            re.search(rf"(?<![\w$]){re.escape(name)}=[^\s]", self.text)
        )

    # ------------------------------------------------------------------------------------ how it ends
    @property
    def retry(self) -> Retry:
        """What GitLab does when it fails."""
        value = self.body.get("retry")
        entry = value if isinstance(value, dict) else {"max": value}
        codes = frozenset(int(code) for code in texts(entry.get("exit_codes")) if code.isdecimal())
        when = frozenset(texts(entry.get("when"))) or (frozenset() if codes else frozenset({"always"}))
        return Retry(is_on=entry.get("max") not in {None, 0, "0"}, when=when, exit_codes=codes)

    @property
    def allowed_exit_codes(self) -> frozenset[int] | None:
        """Exit codes that do not fail the pipeline; None: all."""
        value = self.body.get("allow_failure")
        if isinstance(value, dict):
            return frozenset(int(code) for code in texts(value.get("exit_codes")) if code.isdecimal())
        if value is None:
            # What a person starts by hand may fail, unless the job has rules.
            value = self.body.get("when") == "manual" and self.body.get("rules") is None
        return None if value is True else frozenset()


def texts(value: Any) -> list[str]:
    """One or several values, lists in lists among them, as text."""
    if value is None:
        return []
    if isinstance(value, list):
        return [text for item in value for text in texts(item)]
    return [] if isinstance(value, dict) else [str(value)]


def _value(value: Any) -> str:
    if isinstance(value, dict):
        value = value.get("value")
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _lines(value: Any, place: Place) -> Iterator[Line]:
    if isinstance(value, LocatedList):
        for item, where in zip(value, value.places, strict=True):
            yield from _lines(item, where)
    elif value is not None and not isinstance(value, dict):
        text = _COMMENT.sub("", str(value)).strip()
        if text:
            yield Line(text=text, place=place)

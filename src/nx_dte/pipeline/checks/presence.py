"""Whether guard, main and agents are in a pipeline together, and at the same time."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from nx_dte.pipeline.finding import FaultCode, Finding, Severity
from nx_dte.pipeline.located import Place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nx_dte.pipeline.cast import Cast
    from nx_dte.pipeline.ci_file import CiFile
    from nx_dte.pipeline.ci_job import CiJob

__all__ = ["check_includes", "check_names", "check_order", "check_parts", "check_rules", "check_stages"]

_DEFAULT_ONLY = ("branches", "tags")
"""What GitLab gives a job that has neither rules nor only, where there are no workflow:rules."""


def check_parts(cast: Cast) -> Iterator[Finding]:
    """Is there a main job, are there agents?"""
    top = Place(cast.file.jobs[0].place.file if cast.file.jobs else cast.file.name, 1)
    if not cast.mains:
        message = "no job of this file opens a CI run"
        yield Finding(code=FaultCode.NO_MAIN, place=top, message=message, is_by_absence=True)
    if not cast.agents:
        message = "no job of this file is an agent"
        yield Finding(code=FaultCode.NO_AGENTS, place=top, message=message, is_by_absence=True)


def check_stages(cast: Cast) -> Iterator[Finding]:
    """Does GitLab know every job's stage?"""
    known = cast.file.stages
    for job in cast.file.jobs:
        if job.stage not in known:
            message = f"stage {job.stage} is not declared; there are {', '.join(known)}"
            finding = Finding.of(job, FaultCode.UNDECLARED_STAGE, message, "stage")
            yield Finding(
                code=finding.code, place=finding.place, message=message, jobs=finding.jobs, is_by_absence=True
            )


def check_names(cast: Cast) -> Iterator[Finding]:
    """Does everything that is named exist?"""
    for missing in cast.file.unknown:
        message = f"{missing.what} is not in this file"
        yield Finding(
            code=FaultCode.UNKNOWN_NAME,
            place=missing.place,
            message=message,
            jobs=missing.jobs,
            is_by_absence=True,
        )


def check_includes(cast: Cast) -> Iterator[Finding]:
    """Say what was not looked at."""
    for missing in cast.file.unread:
        yield Finding(
            code=FaultCode.UNREAD_INCLUDE,
            place=missing.place,
            message=f"include {missing.what} was not read; what is missing here may be there",
            severity=Severity.NOTE,
        )


def check_rules(cast: Cast) -> Iterator[Finding]:
    """Are guard and agents in the pipelines that main is in, and in no others?"""
    if not cast.mains:
        return
    of_mains = {_presence(main, cast.file): main for main in cast.mains}
    first = cast.mains[0]
    for job in (*cast.agents, *cast.guards):
        own = _presence(job, cast.file)
        if own not in of_mains:
            message = f"in a pipeline {_words(job, cast.file)}, but main job {first.name} {_words(first, cast.file)}"
            yield Finding.of(job, FaultCode.DIFFERENT_RULES, message, "rules", "only", "except")
    of_agents = {_presence(agent, cast.file) for agent in cast.agents}
    for presence, main in of_mains.items():
        if of_agents and len(of_mains) > 1 and presence not in of_agents:
            message = f"in a pipeline {_words(main, cast.file)}, and no agent is"
            yield Finding.of(main, FaultCode.DIFFERENT_RULES, message, "rules", "only", "except")


def check_order(cast: Cast) -> Iterator[Finding]:
    """Can main and agents run at the same time?"""
    for main in cast.mains:
        for agent in cast.agents:
            for late, early in ((agent, main), (main, agent)):
                if cast.waits_for(late, early):
                    what = "main job" if early is main else "agent"
                    message = f"starts only after {what} {early.name} has ended, which waits for it"
                    yield Finding.of(late, FaultCode.START_ORDER, message, "needs", "stage")


def _presence(job: CiJob, file: CiFile) -> tuple[Any, ...]:
    """What decides whether the job is in a pipeline, so that equal means equal."""
    rules = job.body.get("rules")
    if rules is not None:
        entries = rules if isinstance(rules, list) else [rules]
        return ("rules", *(_rule(entry) for entry in entries))
    only = job.body.get("only")
    if only is None and not file.has_workflow_rules:
        only = list(_DEFAULT_ONLY)
    return ("only", _plain(only), _plain(job.body.get("except")))


def _rule(entry: Any) -> tuple[Any, ...]:
    if not isinstance(entry, dict):
        return (_plain(entry),)
    condition = re.sub(r"\s+", " ", str(entry.get("if", ""))).strip()
    is_never = entry.get("when") == "never"
    return (condition, _plain(entry.get("changes")), _plain(entry.get("exists")), is_never)


def _plain(value: Any) -> Any:
    """Comparable by content; the order of a list of names does not matter."""
    if isinstance(value, dict):
        return tuple(sorted((str(key), repr(_plain(item))) for key, item in value.items()))
    if isinstance(value, list):
        return tuple(sorted(repr(_plain(item)) for item in value))
    return str(value) if value is not None else None


def _words(job: CiJob, file: CiFile) -> str:
    """The same, for a reader."""
    if job.body.get("rules") is not None:
        return "by rules of its own"
    parts = [
        f"{key}: {_listed(job.body[key])}" for key in ("only", "except") if job.body.get(key) is not None
    ]
    if parts:
        return f"by {' and '.join(parts)}"
    if file.has_workflow_rules:
        return "always"
    return f"by GitLab's default, only: {', '.join(_DEFAULT_ONLY)}"


def _listed(value: Any) -> str:
    return ", ".join(str(item) for item in value) if isinstance(value, list) else str(value)

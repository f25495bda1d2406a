"""Whether a main job notices that it came back without its agents."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from nx_dte.pipeline.finding import FaultCode, Finding
from nx_dte.pipeline.options import DEFAULT_AGENT_JOB, DEFAULT_MAIN_JOB

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nx_dte.pipeline.cast import Cast
    from nx_dte.pipeline.ci_job import CiJob

__all__ = ["check_guard", "check_job_names"]

_CHECKS = re.compile(r"(?<![\w.-])nx-dte\s+guard\s+check(?![\w-])")
_MODE = re.compile(r"--(?:guard|mode)[= ](?:off|mirror)\b")
_COORDINATOR = ("NX_CLOUD_API", "NRWL_API")
_TOKEN = "NX_DTE_GITLAB_TOKEN"  # noqa: S105  # a variable's name


def check_guard(cast: Cast) -> Iterator[Finding]:
    """Does main ask the guard, and has that something to go by?"""
    for main in cast.mains:
        if not _asks(main):
            message = "main never asks whether only a part of the pipeline was retried"
        elif _is_settled(main) or any(main.sets(name) for name in (*_COORDINATOR, _TOKEN)):
            continue
        elif not cast.guards:
            message = "no job runs `nx-dte guard record`, and this file names no coordinator (NX_CLOUD_API) that could tell"
        elif any(_reaches(cast, guard, main) for guard in cast.guards):
            continue
        else:
            names = ", ".join(guard.name for guard in cast.guards)
            message = f"what {names} records does not reach it: it is not in `needs`, or in no earlier stage"
        finding = Finding.of(main, FaultCode.NO_GUARD, message, "needs", "script")
        yield Finding(
            code=finding.code, place=finding.place, message=message, jobs=finding.jobs, is_by_absence=True
        )


def check_job_names(cast: Cast) -> Iterator[Finding]:
    """Does the guard find main and agents by their names?"""
    mains = {main.name for main in cast.mains}
    players = mains | {agent.name for agent in cast.agents}
    outsiders = [other.name for other in cast.file.jobs if other.name not in players]
    for job in (*cast.mains, *cast.agents):
        if not (job.is_wrapped or _asks(job)):
            continue
        if job.name in mains:
            pattern = _pattern(job, "NX_DTE_AGENT_JOB", "--agent-job", f"{DEFAULT_AGENT_JOB}*")
            others, what = cast.agents, "agents"
        else:
            pattern = _pattern(job, "NX_DTE_MAIN_JOB", "--main-job", DEFAULT_MAIN_JOB)
            others, what = cast.mains, "main"
        if "$" in pattern:
            continue
        strangers = [other.name for other in others if not fnmatchcase(other.name, pattern)]
        if strangers:
            message = f"looks for {what} by the name {pattern}, and not for {', '.join(strangers)}"
            yield Finding.of(job, FaultCode.JOB_NAMES, message, "variables", "script")
        impostors = [name for name in outsiders if fnmatchcase(name, pattern)]
        if others and impostors:
            message = f"takes {', '.join(impostors)} for {what}, because of the name {pattern}"
            yield Finding.of(job, FaultCode.JOB_NAMES, message, "variables", "script")


def _asks(job: CiJob) -> bool:
    return job.is_wrapped or bool(_CHECKS.search(job.text))


def _is_settled(main: CiJob) -> bool:
    """Whether somebody has decided that a retried main job goes on without evidence."""
    return main.variables.get("NX_DTE_GUARD_MODE") in {"off", "mirror"} or bool(_MODE.search(main.text))


def _reaches(cast: Cast, guard: CiJob, main: CiJob) -> bool:
    """Whether main gets the guard's artifact."""
    dependencies = main.body.get("dependencies")
    if isinstance(dependencies, list) and guard.name not in dependencies:
        return False
    if main.needs is not None:
        return guard.name in main.needs
    return cast.waits_for(main, guard)


def _pattern(job: CiJob, variable: str, option: str, default: str) -> str:
    match = re.search(rf"{option}[= ](?:'([^']+)'|\"([^\"]+)\"|(\S+))", job.text)
    if match is not None:
        return next(group for group in match.groups() if group)
    return job.variables.get(variable) or default

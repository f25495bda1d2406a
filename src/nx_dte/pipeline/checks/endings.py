"""Whether GitLab makes the right thing of how main and agents end."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from nx_dte.pipeline.finding import FaultCode, Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nx_dte.pipeline.cast import Cast
    from nx_dte.pipeline.ci_job import CiJob

__all__ = ["check_agent_retry", "check_allowed", "check_main_retry", "check_passed_on"]

ORDERLY = (75, 76, 77)
"""No coordinator, no main, main has failed: see the table of exit codes in the docs."""
_NEVER_AGAIN = (77, 78)
_PASSED_ON = re.compile(r"\|\|\s*exit\s+(?:\$\?|\"\$\?\")")
_FLAG = "FF_USE_NEW_BASH_EVAL_STRATEGY"


def check_passed_on(cast: Cast) -> Iterator[Finding]:
    """Does an agent's exit code reach GitLab?"""
    for agent in _mirroring(cast):
        if agent.variables.get(_FLAG, "").lower() in {"true", "1"}:
            continue
        for line in agent.agent_lines:
            if not _PASSED_ON.search(line.text):
                message = f"the agent's exit code becomes 1 ({_FLAG} is not set here; a runner's own setting is not known)"
                yield Finding(
                    code=FaultCode.EXIT_CODE_LOST, place=line.place, message=message, jobs=(agent.name,)
                )


def check_allowed(cast: Cast) -> Iterator[Finding]:
    """May an agent end in order without failing the pipeline?"""
    for agent in _mirroring(cast):
        allowed = agent.allowed_exit_codes
        missing = [] if allowed is None else [code for code in ORDERLY if code not in allowed]
        if missing:
            codes = ", ".join(str(code) for code in missing)
            message = f"exit codes {codes} of the agent are not allowed to fail"
            yield Finding.of(agent, FaultCode.AGENT_EXIT_CODES, message, "allow_failure")


def check_agent_retry(cast: Cast) -> Iterator[Finding]:
    """Is an agent started again that should not be?"""
    for agent in _mirroring(cast):
        retry = agent.retry
        codes = [str(code) for code in _NEVER_AGAIN if code in retry.exit_codes]
        if retry.is_for_failures:
            message = "`retry` is for every failure, 77 and 78 among them"
            yield Finding.of(agent, FaultCode.AGENT_RETRY, message, "retry")
        elif retry.is_on and codes:
            message = f"`retry` is for exit code {' and '.join(codes)}"
            yield Finding.of(agent, FaultCode.AGENT_RETRY, message, "retry")


def check_main_retry(cast: Cast) -> Iterator[Finding]:
    """Is main started again without its agents?"""
    for main in cast.mains:
        if main.retry.is_for_failures:
            message = "`retry` is for every failure, failed tasks among them"
            yield Finding.of(main, FaultCode.MAIN_RETRY, message, "retry")


def _mirroring(cast: Cast) -> tuple[CiJob, ...]:
    """Agents whose exit codes have a meaning; bare ones end with 0."""
    return tuple(agent for agent in cast.agents if agent.is_wrapped or agent.sets("NX_DTE_MIRROR"))

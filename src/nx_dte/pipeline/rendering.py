"""From options to the text of a `.gitlab-ci.yml`.

The template writes every value through `scalar`, because that is how its environment prints: no value can end its own
line, whatever it is.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined

from nx_dte.pipeline.options import DEFAULT_AGENT_JOB, DEFAULT_MAIN_JOB, GuardJob, PipelineKind
from nx_dte.pipeline.scalars import Verbatim, flow_list, folded, scalar

if TYPE_CHECKING:
    from jinja2 import Template

    from nx_dte.pipeline.options import PipelineOptions

__all__ = ["render"]

TEMPLATE = "gitlab-ci.yml.j2"
JUNIT_FILE = ".nx-dte/junit.xml"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rule:
    """One line of `workflow:rules`."""

    condition: str
    why: str
    is_never: bool = False
    is_kept: bool = False
    """A newer commit does not cancel the pipeline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Variable:
    """One variable of main and agents."""

    name: str
    value: str
    why: str = ""


def render(options: PipelineOptions, *, made_by: tuple[str, ...] = ("nx-dte pipeline render",)) -> str:
    """The text of the file. `made_by` are the lines of the command that asked for it, for its head."""
    template = _template(prefers_single=options.workspace.prefers_single_quotes)
    return template.render(_values(options), made_by=made_by)


@cache
def _template(*, prefers_single: bool) -> Template:
    """Compiled once for each kind of quotes; it holds no values."""
    environment = Environment(
        loader=PackageLoader("nx_dte.pipeline"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  # this is YAML, and `finalize` quotes it
        finalize=partial(scalar, prefers_single=prefers_single),
    )
    environment.filters |= {
        "comment": _comment,
        "flow": lambda values: flow_list(tuple(values), prefers_single=prefers_single),
        "folded": partial(folded, prefers_single=prefers_single),
    }
    return environment.get_template(TEMPLATE)


def _values(options: PipelineOptions) -> dict[str, object]:
    workspace = options.workspace
    is_installed = options.install != ""
    install = workspace.installation.line if options.install is None else options.install
    has_cache = options.install is None
    return {
        "agent_job": options.agent_job,
        "agent_lifetime_s": options.agent_lifetime_s,
        "agent_tags": options.agent_tags,
        "agent_timeout": _duration(options.agent_timeout_min),
        "agents": options.agents,
        "artifacts": tuple(workspace.path(path) for path in options.artifacts),
        "artifacts_expire_in": options.artifacts_expire_in,
        "audience": options.audience,
        "before": (*options.before, *workspace.before(install if is_installed else "")),
        "cache_folder": workspace.lock_path(workspace.installation.cache_folder) if has_cache else None,
        "coordinator_url": options.coordinator_url,
        "git_depth": options.git_depth,
        "guard_job": options.guard_job,
        "has_guard_job": options.has_guard_job,
        "image": options.image,
        "junit_path": workspace.path(JUNIT_FILE),
        "lock_file": workspace.lock_file,
        "main_job": options.main_job,
        "main_tags": options.main_tags,
        "main_words": _main_lines(options),
        "stage": options.stage,
        "survives_main_alone": options.survives_main_alone,
        "variables": _variables(options, has_cache=has_cache),
        "workflow_rules": _workflow_rules(options),
    }


def _main_lines(options: PipelineOptions) -> tuple[str, ...]:
    """`nx-dte orchestrate …`, one option on each line."""
    first, *others = options.commands
    lines = ["nx-dte orchestrate"]
    if options.stop_agents_after is not None:
        lines.append(shlex.join(["--stop-agents-after", options.stop_agents_after]))
    lines += [shlex.join(["--record", shlex.join(words)]) for words in options.records]
    lines += [shlex.join(["--run", shlex.join(words)]) for words in others]
    lines += [f"--junit {JUNIT_FILE}", f"-- {shlex.join(first)}"]
    return tuple(lines)


def _variables(options: PipelineOptions, *, has_cache: bool) -> tuple[_Variable, ...]:
    found = []
    if options.coordinator_url is not None:
        found.append(_Variable(name="NX_CLOUD_API", value=options.coordinator_url))
    if options.guard is GuardJob.OFF:
        found.append(_Variable(name="NX_DTE_GUARD_MODE", value="off", why="Nobody asks what was retried."))
    elif options.guard_mode is not None:
        found.append(_Variable(name="NX_DTE_GUARD_MODE", value=options.guard_mode))
    if options.main_job != DEFAULT_MAIN_JOB:
        found.append(_Variable(name="NX_DTE_MAIN_JOB", value=options.main_job))
    if options.agent_job != DEFAULT_AGENT_JOB:
        found.append(_Variable(name="NX_DTE_AGENT_JOB", value=options.agent_job))
    if has_cache:
        found += [
            _Variable(name=name, value=value) for name, value in options.workspace.installation.variables
        ]
    return tuple(found)


def _workflow_rules(options: PipelineOptions) -> tuple[_Rule, ...]:
    """Which pipelines there are. The first rule that fits decides, and what none fits has no pipeline."""
    kinds = options.kinds
    by_source = {
        PipelineKind.SCHEDULES: ("schedule", "Scheduled pipelines"),
        PipelineKind.WEB: ("web", "`Run new pipeline`, by hand"),
    }
    rules = []
    if PipelineKind.MERGE_REQUESTS in kinds:
        rules.append(_Rule(condition="$CI_MERGE_REQUEST_IID", why="Merge requests, also in child pipelines."))
    for kind, (source, what) in by_source.items():
        is_never = kind not in kinds
        rules.append(
            _Rule(
                condition=f'$CI_PIPELINE_SOURCE == "{source}"',
                why=f"No {what[0].lower()}{what[1:]}." if is_never else f"{what}.",
                is_never=is_never,
            )
        )
    if PipelineKind.BRANCHES in kinds:
        condition = "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH"
        why = "The default branch. Each push is compared with the one before, so a newer one cancels none of them."
        rules.append(_Rule(condition=condition, why=why, is_kept=True))
    if PipelineKind.BRANCHES in kinds and not options.is_default_branch_only:
        if PipelineKind.MERGE_REQUESTS in kinds:
            condition = '$CI_COMMIT_BRANCH && $CI_OPEN_MERGE_REQUESTS && $CI_PIPELINE_SOURCE == "push"'
            why = "A branch with a merge request has that one's pipeline, and no second one."
            rules.append(_Rule(condition=condition, why=why, is_never=True))
        rules.append(_Rule(condition="$CI_COMMIT_BRANCH", why="Other branches."))
    if PipelineKind.TAGS in kinds:
        rules.append(_Rule(condition="$CI_COMMIT_TAG", why="Tags."))
    return tuple(rules)


def _duration(minutes: int) -> str:
    hours, rest = divmod(minutes, 60)
    return " ".join(part for part in (f"{hours}h" if hours else "", f"{rest}m" if rest else "") if part)


def _comment(line: str) -> Verbatim:
    """Text behind a `#`.

    Raises:
        ValueError: it would not end with its line.
    """
    if not line.isprintable():
        raise ValueError(f"{line!r} is no single line")
    return Verbatim(line)

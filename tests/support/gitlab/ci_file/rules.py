"""Which jobs a pipeline holds: `workflow:rules`, `rules`, and the older `only` and `except`."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from tests.support.gitlab.ci_file.expressions import is_true
from tests.support.gitlab.ci_file.job_spec import JobSpec, seconds, variables_of
from tests.support.gitlab.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from tests.support.gitlab.ci_file.job_spec import Variable

__all__ = ["Changes", "Context", "applied", "is_kept", "is_wanted_by_only", "workflow_variables"]

# What GitLab gives a job that has neither rules nor only, where there is no workflow:rules either.
_DEFAULT_ONLY = ("branches", "tags")
_RULE_KEYS = {
    "if", "changes", "exists", "when", "allow_failure", "variables", "start_in", "interruptible", "needs",
}  # fmt: skip
_WORKFLOW_RULE_KEYS = _RULE_KEYS | {"auto_cancel"}


class Changes(Protocol):
    """What the repository can tell about the commit."""

    def has_changed(self, patterns: Sequence[str]) -> bool:
        """Whether a file that matches was changed by what this pipeline is for."""

    def has_file(self, patterns: Sequence[str]) -> bool:
        """Whether the commit holds a file that matches."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What rules may look at."""

    variables: Mapping[str, str]
    changes: Changes
    source: str
    ref: str
    is_tag: bool
    has_workflow_rules: bool = False
    never_overridden: frozenset[str] = frozenset()
    """Names that were given with the pipeline: a job's own variables do not hide them."""


def workflow_variables(workflow: Mapping[str, Any], context: Context) -> Mapping[str, Variable] | None:
    """Variables that the matching workflow rule adds; None when no pipeline is to be made."""
    rules = workflow.get("rules")
    if rules is None:
        return {}
    for rule in rules:
        if _matches(rule, context, _WORKFLOW_RULE_KEYS):
            if rule.get("when", "always") == "never":
                return None
            return variables_of(rule.get("variables") or {})
    return None


def is_kept(workflow: Mapping[str, Any], context: Context) -> bool:
    """Whether the pipeline is not to be cancelled by a newer commit: `auto_cancel:on_new_commit: none`."""
    matching = (rule for rule in workflow.get("rules") or () if _matches(rule, context, _WORKFLOW_RULE_KEYS))
    first: Mapping[str, Any] = next(matching, {})
    wanted = first.get("auto_cancel") or workflow.get("auto_cancel") or {}
    if not set(wanted) <= {"on_new_commit"} or wanted.get("on_new_commit") not in {
        None,
        "conservative",
        "none",
    }:
        raise ApiError(400, f"this stand-in does not know auto_cancel {wanted}")
    return wanted.get("on_new_commit") == "none"


def applied(spec: JobSpec, rules: Sequence[Mapping[str, Any]], context: Context) -> JobSpec | None:
    """The job as its first matching rule makes it; None when it is left out."""
    own_variables = {
        key: item.value for key, item in spec.variables.items() if key not in context.never_overridden
    }
    variables = {**context.variables, **own_variables}
    own = replace(context, variables=variables)
    for rule in rules:
        if not _matches(rule, own):
            continue
        when = rule.get("when", spec.when)
        if when == "never":
            return None
        return replace(
            spec,
            when=when,
            start_in_s=seconds(rule["start_in"]) if "start_in" in rule else spec.start_in_s,
            allow_failure=bool(rule.get("allow_failure", spec.allow_failure)),
            interruptible=bool(rule.get("interruptible", spec.interruptible)),
            variables={**spec.variables, **variables_of(rule.get("variables") or {})},
        )
    return None


def is_wanted_by_only(raw: Mapping[str, Any], context: Context) -> bool:
    """`only` and `except`, with GitLab's default where there is neither."""
    default = None if context.has_workflow_rules else _DEFAULT_ONLY
    only = raw.get("only", default)
    if only is not None and not _policy_matches(only, context):
        return False
    return not ("except" in raw and _policy_matches(raw["except"], context))


def _matches(
    rule: Mapping[str, Any], context: Context, known: AbstractSet[str] = frozenset(_RULE_KEYS)
) -> bool:
    unknown = set(rule) - known
    if unknown or "needs" in rule:
        raise ApiError(400, f"this stand-in does not know {sorted(unknown) or ['needs']} in rules")
    if "if" in rule and not is_true(str(rule["if"]), context.variables):
        return False
    if "changes" in rule and not context.changes.has_changed(_patterns(rule["changes"])):
        return False
    return "exists" not in rule or context.changes.has_file(_patterns(rule["exists"]))


def _patterns(value: object) -> list[str]:
    if isinstance(value, dict):
        value = value.get("paths", [])
    return [str(item) for item in value] if isinstance(value, list) else [str(value)]


def _policy_matches(policy: object, context: Context) -> bool:
    if isinstance(policy, dict):
        unknown = set(policy) - {"refs", "variables", "changes"}
        if unknown:
            raise ApiError(400, f"this stand-in does not know {sorted(unknown)} in only or except")
        return (
            ("refs" not in policy or _refs_match(policy["refs"], context))
            and (
                "variables" not in policy
                or any(is_true(expression, context.variables) for expression in policy["variables"])
            )
            and ("changes" not in policy or context.changes.has_changed(_patterns(policy["changes"])))
        )
    return _refs_match(policy, context)


def _refs_match(refs: object, context: Context) -> bool:
    names = [str(ref) for ref in refs] if isinstance(refs, list | tuple) else [str(refs)]
    is_merge_request = context.source == "merge_request_event"
    facts = {
        "branches": not context.is_tag and not is_merge_request,
        "tags": context.is_tag,
        "merge_requests": is_merge_request,
        "pushes": context.source == "push",
        "schedules": context.source == "schedule",
        "web": context.source == "web",
        "api": context.source == "api",
        "triggers": context.source == "trigger",
        "pipelines": context.source == "pipeline",
    }
    for name in names:
        if facts.get(name):
            return True
        if is_merge_request:
            continue
        if name == context.ref or (name.startswith("/") and re.search(name.strip("/"), context.ref)):
            return True
    return False

"""From the text of a `.gitlab-ci.yml` to plain jobs: anchors, `!reference`, `extends`, `default` and `inherit`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml

from tests.support.gitlab.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["DEFAULT_STAGES", "CiText", "read"]

DEFAULT_STAGES = ("build", "test", "deploy")
_GLOBAL = {"default", "stages", "variables", "workflow", "include", "spec", "pages", "types"}
_INHERITABLE = (
    "after_script",
    "artifacts",
    "before_script",
    "cache",
    "hooks",
    "id_tokens",
    "image",
    "interruptible",
    "retry",
    "services",
    "tags",
    "timeout",
)
# Deprecated at the top level, but the recipe and many pipelines have them there.
_OLD_DEFAULTS = ("after_script", "before_script", "cache", "image", "services")
_MAX_DEPTH = 11


@dataclass(frozen=True, slots=True)
class _Reference:
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CiText:
    """What stands in the file, with everything inherited put in its place."""

    stages: tuple[str, ...]
    workflow: Mapping[str, Any]
    variables: Mapping[str, Any]
    jobs: Mapping[str, Mapping[str, Any]]
    """The visible jobs, in the order of the file."""
    job_variables: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Of each job: the global ones it inherits, then its own."""


class _Loader(yaml.SafeLoader):
    """SafeLoader with GitLab's tag; a class of its own, because constructors are kept on the class."""


def _reference(loader: yaml.SafeLoader, node: yaml.Node) -> _Reference:
    if not isinstance(node, yaml.SequenceNode):
        raise ApiError(400, "!reference needs a list")
    return _Reference(tuple(str(part) for part in loader.construct_sequence(node)))


_Loader.add_constructor("!reference", _reference)


def read(text: str) -> CiText:
    """Parse and resolve.

    Raises:
        ApiError: 400 with GitLab's kind of message, also for what this stand-in does not know (`include`).
    """
    try:
        document = yaml.load(text, Loader=_Loader)  # noqa: S506 - derives from SafeLoader
    except yaml.YAMLError as error:
        raise ApiError(400, f"(<unknown>): {error}") from error
    if not isinstance(document, dict):
        raise ApiError(400, "Invalid configuration format")
    for unsupported in ("include", "spec"):
        if unsupported in document:
            raise ApiError(400, f"this stand-in does not know `{unsupported}`")
    hidden_and_visible = {
        name: value for name, value in document.items() if name not in _GLOBAL and name not in _OLD_DEFAULTS
    }
    resolved = {
        name: _extended(name, hidden_and_visible)
        for name, value in hidden_and_visible.items()
        if isinstance(value, dict)
    }
    document = _dereferenced({**document, **resolved}, {**document, **resolved}, 0)
    default = {key: document[key] for key in _OLD_DEFAULTS if key in document} | (
        document.get("default") or {}
    )
    variables = document.get("variables") or {}
    jobs = {
        name: _with_defaults(document[name], default) for name in resolved if not str(name).startswith(".")
    }
    stages = tuple(document.get("stages") or DEFAULT_STAGES)
    return CiText(
        stages=(".pre", *(stage for stage in stages if stage not in {".pre", ".post"}), ".post"),
        workflow=document.get("workflow") or {},
        variables=variables,
        jobs=jobs,
        job_variables={name: _inherited_variables(job, variables) for name, job in jobs.items()},
    )


def _extended(name: str, jobs: Mapping[str, Any], depth: int = 0) -> dict[str, Any]:
    if depth > _MAX_DEPTH:
        raise ApiError(400, f"jobs:{name}: circular dependency detected in `extends`")
    job = jobs.get(name)
    if not isinstance(job, dict):
        raise ApiError(400, f"{name}: unknown keys in `extends`")
    parents = job.get("extends", [])
    merged: dict[str, Any] = {}
    for parent in [parents] if isinstance(parents, str) else parents:
        merged = _merged(merged, _extended(parent, jobs, depth + 1))
    own = {key: value for key, value in job.items() if key != "extends"}
    return _merged(merged, own)


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        known = result.get(key)
        result[key] = _merged(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return result


def _dereferenced(value: Any, document: Mapping[str, Any], depth: int) -> Any:
    if depth > _MAX_DEPTH * 4:
        raise ApiError(400, "!reference: nested too deeply")
    if isinstance(value, _Reference):
        found: Any = document
        for part in value.path:
            if not isinstance(found, dict) or part not in found:
                raise ApiError(400, f"!reference {list(value.path)} could not be found")
            found = found[part]
        return _dereferenced(found, document, depth + 1)
    if isinstance(value, dict):
        return {key: _dereferenced(item, document, depth + 1) for key, item in value.items()}
    if isinstance(value, list):
        items = []
        for item in value:
            resolved = _dereferenced(item, document, depth + 1)
            # A reference to a list inside a list is that list's items.
            items.extend(
                resolved if isinstance(item, _Reference) and isinstance(resolved, list) else [resolved]
            )
        return items
    return value


def _with_defaults(job: Mapping[str, Any], default: Mapping[str, Any]) -> dict[str, Any]:
    inherit = (job.get("inherit") or {}).get("default", True)
    wanted = _INHERITABLE if inherit is True else tuple(inherit or ())
    return {key: default[key] for key in wanted if key in default} | dict(job)


def _inherited_variables(job: Mapping[str, Any], variables: Mapping[str, Any]) -> dict[str, Any]:
    inherit = (job.get("inherit") or {}).get("variables", True)
    if inherit is True:
        shared = dict(variables)
    else:
        shared = {key: variables[key] for key in inherit or () if key in variables}
    return shared | (job.get("variables") or {})

"""One job of a pipeline as the file wants it: typed, defaults filled in, `parallel` taken apart."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from tests.support.gitlab.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["JobSpec", "Need", "RetryRule", "Variable", "copies", "job_spec", "seconds", "variables_of"]

_KNOWN = {
    "after_script", "allow_failure", "artifacts", "before_script", "cache", "coverage", "dependencies",
    "environment", "except", "hooks", "id_tokens", "image", "inherit", "interruptible", "needs", "only",
    "parallel", "release", "resource_group", "retry", "rules", "script", "services", "stage", "start_in", "tags",
    "timeout", "variables", "when",
}  # fmt: skip
_WHEN = {"on_success", "on_failure", "always", "manual", "delayed", "never"}
_RETRY_WHEN = {
    "always", "unknown_failure", "script_failure", "api_failure", "stuck_or_timeout_failure",
    "runner_system_failure", "runner_unsupported", "stale_schedule", "job_execution_timeout", "archived_failure",
    "unmet_prerequisites", "scheduler_failure", "data_integrity_failure", "runner_interrupted",
}  # fmt: skip
_MAX_RETRIES = 2
_MAX_PARALLEL = 200
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "mo": 2592000, "y": 31536000}
_DURATION = re.compile(
    r"(\d+(?:\.\d+)?)\s*(seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?|d|weeks?|w|months?|mos?|years?|y)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Variable:
    """A CI/CD variable. A raw one is not expanded."""

    value: str
    is_raw: bool = False
    is_public: bool = True
    is_masked: bool = False
    is_file: bool = False
    is_protected: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One entry of `needs:`."""

    job: str
    artifacts: bool = True
    is_optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryRule:
    """`retry:`; without `when` or `exit_codes` it means always."""

    max: int = 0
    when: tuple[str, ...] = ()
    exit_codes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """What is copied from row to row when a job is retried."""

    name: str
    stage: str
    script: tuple[str, ...]
    after_script: tuple[str, ...] = ()
    image: Mapping[str, Any] | None = None
    services: tuple[Mapping[str, Any], ...] = ()
    tags: tuple[str, ...] = ()
    needs: tuple[Need, ...] | None = None
    """None: the job waits for the stages before it."""
    dependencies: tuple[str, ...] | None = None
    artifacts: Mapping[str, Any] | None = None
    caches: tuple[Mapping[str, Any], ...] = ()
    variables: Mapping[str, Variable] = field(default_factory=dict)
    when: str = "on_success"
    start_in_s: int | None = None
    allow_failure: bool = False
    allowed_exit_codes: tuple[int, ...] = ()
    retry: RetryRule = field(default_factory=RetryRule)
    interruptible: bool = False
    timeout_s: int | None = None
    id_tokens: Mapping[str, Any] = field(default_factory=dict)
    resource_group: str | None = None
    environment: str | None = None
    node_index: int | None = None
    node_total: int = 1
    base_name: str = ""
    """The name in the file, which `needs:` and `dependencies:` use too."""


def job_spec(
    name: str, raw: Mapping[str, Any], variables: Mapping[str, Any], stages: tuple[str, ...]
) -> JobSpec:
    """Check one job of the file and give it types.

    Raises:
        ApiError: 400 for what GitLab would refuse, and for keywords this stand-in does not know.
    """
    unknown = set(raw) - _KNOWN
    if unknown:
        raise ApiError(400, f"jobs:{name} config contains unknown keys: {', '.join(sorted(unknown))}")
    if not raw.get("script"):
        raise ApiError(400, f"jobs:{name} config should implement the script:, run:, or trigger: keyword")
    if ("rules" in raw) and ("only" in raw or "except" in raw):
        raise ApiError(400, f"jobs:{name} config key may not be used with `rules`: only, except")
    stage = str(raw.get("stage", "test"))
    if stage not in stages:
        raise ApiError(
            400, f"{name} job: chosen stage {stage} does not exist; available stages are {', '.join(stages)}"
        )
    when = str(raw.get("when", "on_success"))
    if when not in _WHEN:
        raise ApiError(400, f"jobs:{name} when should be one of: {', '.join(sorted(_WHEN))}")
    allow_failure, allowed_exit_codes = _allow_failure(raw)
    environment = raw.get("environment")
    return JobSpec(
        name=name,
        base_name=name,
        stage=stage,
        script=(*_lines(raw.get("before_script")), *_lines(raw["script"])),
        after_script=_lines(raw.get("after_script")),
        image=_named(raw.get("image")),
        services=tuple(named for item in raw.get("services") or () if (named := _named(item))),
        tags=tuple(str(tag) for tag in raw.get("tags") or ()),
        needs=_needs(raw["needs"]) if raw.get("needs") is not None else None,
        dependencies=tuple(raw["dependencies"]) if raw.get("dependencies") is not None else None,
        artifacts=raw.get("artifacts"),
        caches=_caches(raw.get("cache")),
        variables=variables_of(variables),
        when=when,
        start_in_s=seconds(raw["start_in"]) if "start_in" in raw else None,
        allow_failure=allow_failure,
        allowed_exit_codes=allowed_exit_codes,
        retry=_retry(name, raw.get("retry")),
        interruptible=bool(raw.get("interruptible", False)),
        timeout_s=seconds(raw["timeout"]) if "timeout" in raw else None,
        id_tokens={key: value["aud"] for key, value in (raw.get("id_tokens") or {}).items()},
        resource_group=raw.get("resource_group"),
        environment=environment.get("name") if isinstance(environment, dict) else environment,
    )


def copies(spec: JobSpec, parallel: object) -> Iterator[JobSpec]:
    """The job itself, or its `name i/N` for `parallel: N`, or `name: [a, b]` for a matrix."""
    if parallel is None:
        yield spec
        return
    if isinstance(parallel, int):
        if not 1 <= parallel <= _MAX_PARALLEL:
            raise ApiError(400, f"jobs:{spec.name}:parallel must be from 1 to {_MAX_PARALLEL}")
        for index in range(1, parallel + 1):
            yield replace(spec, name=f"{spec.name} {index}/{parallel}", node_index=index, node_total=parallel)
        return
    if not isinstance(parallel, dict) or not isinstance(parallel.get("matrix"), list):
        raise ApiError(400, f"jobs:{spec.name}:parallel should be an integer or a hash with matrix")
    rows = [row for entry in parallel["matrix"] for row in _rows(entry)]
    for index, row in enumerate(rows, start=1):
        yield replace(
            spec,
            name=f"{spec.name}: [{', '.join(row.values())}]",
            variables={**spec.variables, **{key: Variable(value=value) for key, value in row.items()}},
            node_index=index,
            node_total=len(rows),
        )


def _rows(entry: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    choices = [value if isinstance(value, list) else [value] for value in entry.values()]
    for combination in itertools.product(*choices):
        yield {key: str(value) for key, value in zip(entry, combination, strict=True)}


def variables_of(raw: Mapping[str, Any]) -> dict[str, Variable]:
    """`variables:` of the file, in both its forms."""
    result = {}
    for key, value in raw.items():
        if isinstance(value, dict):
            result[str(key)] = Variable(
                value=_text(value.get("value", "")), is_raw=value.get("expand") is False
            )
        else:
            result[str(key)] = Variable(value=_text(value))
    return result


def seconds(duration: object) -> int:
    """`1h 30m`, `2 days`, `90` (seconds) as seconds."""
    if isinstance(duration, int):
        return duration
    text = str(duration)
    if text.isdigit():
        return int(text)
    total = 0.0
    for amount, unit in _DURATION.findall(text):
        total += float(amount) * _UNITS["mo" if unit.startswith("mo") else unit[0]]
    if not total:
        raise ApiError(400, f"{text!r} should be a duration")
    return int(total)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _lines(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, list):
        return tuple(line for item in value for line in _lines(item))
    return (str(value),)


def _named(value: object) -> dict[str, Any] | None:
    if value is None:
        return None
    return {**value} if isinstance(value, dict) else {"name": str(value)}


def _needs(value: object) -> tuple[Need, ...]:
    needs = []
    for entry in value if isinstance(value, list) else [value]:
        if isinstance(entry, str):
            needs.append(Need(job=entry))
        elif isinstance(entry, dict) and "job" in entry and not set(entry) - {"job", "artifacts", "optional"}:
            needs.append(
                Need(
                    job=entry["job"],
                    artifacts=bool(entry.get("artifacts", True)),
                    is_optional=bool(entry.get("optional", False)),
                )
            )
        else:
            raise ApiError(400, f"this stand-in does not know `needs: {entry}`")
    return tuple(needs)


def _caches(value: object) -> tuple[Mapping[str, Any], ...]:
    if not value:
        return ()
    return tuple(value if isinstance(value, list) else [value])


def _allow_failure(raw: Mapping[str, Any]) -> tuple[bool, tuple[int, ...]]:
    value = raw.get("allow_failure")
    if isinstance(value, dict):
        codes = value.get("exit_codes", [])
        return False, tuple(codes if isinstance(codes, list) else [codes])
    # A manual job is optional unless it says otherwise; with rules it blocks unless it says otherwise.
    is_optional = raw.get("when") == "manual" and "rules" not in raw
    return (is_optional if value is None else bool(value)), ()


def _retry(name: str, value: Any) -> RetryRule:
    if value is None:
        return RetryRule()
    entry: Mapping[str, Any] = value if isinstance(value, dict) else {"max": value}
    maximum = entry.get("max", 0)
    if not isinstance(maximum, int) or not 0 <= maximum <= _MAX_RETRIES:
        raise ApiError(400, f"jobs:{name}:retry max must be less than or equal to {_MAX_RETRIES}")
    codes = entry.get("exit_codes", [])
    when = entry.get("when", [] if codes else ["always"])
    whens = tuple(when if isinstance(when, list) else [when])
    wrong = set(whens) - _RETRY_WHEN
    if wrong:
        raise ApiError(400, f"jobs:{name}:retry when contains unknown values: {', '.join(sorted(wrong))}")
    return RetryRule(max=maximum, when=whens, exit_codes=tuple(codes if isinstance(codes, list) else [codes]))

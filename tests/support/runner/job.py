"""A job as GitLab hands it out: the parts this runner uses, typed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

__all__ = ["CacheSpec", "Dependency", "GitInfo", "Job", "Upload"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GitInfo:
    """What to check out."""

    url: str
    sha: str
    refspecs: tuple[str, ...]
    depth: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """An artifact to send at the end."""

    name: str
    paths: tuple[str, ...]
    exclude: tuple[str, ...]
    is_untracked: bool
    when: str
    expire_in: str | None
    kind: str
    format: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CacheSpec:
    """A cache to restore and to save."""

    key: str
    fallback_keys: tuple[str, ...]
    paths: tuple[str, ...]
    policy: str
    when: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dependency:
    """A job whose archive comes first."""

    id: int
    name: str
    token: str
    has_archive: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job."""

    id: int
    token: str
    name: str
    stage: str
    project_id: int
    timeout_s: int
    variables: dict[str, str]
    """Plain ones, by name."""
    file_variables: dict[str, str]
    """Those whose value is to be a file's content."""
    masked: tuple[str, ...]
    """Values that the trace must not show."""
    git: GitInfo
    script: tuple[str, ...]
    after_script: tuple[str, ...]
    image: str | None
    uploads: tuple[Upload, ...]
    caches: tuple[CacheSpec, ...]
    dependencies: tuple[Dependency, ...]

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Self:
        """From the answer of `jobs/request`."""
        steps = {step["name"]: tuple(step["script"]) for step in raw["steps"]}
        git = raw["git_info"]
        return cls(
            id=raw["id"],
            token=raw["token"],
            name=raw["job_info"]["name"],
            stage=raw["job_info"]["stage"],
            project_id=raw["job_info"]["project_id"],
            timeout_s=raw["runner_info"]["timeout"],
            variables={item["key"]: item["value"] for item in raw["variables"] if not item.get("file")},
            file_variables={item["key"]: item["value"] for item in raw["variables"] if item.get("file")},
            masked=tuple(item["value"] for item in raw["variables"] if item.get("masked") and item["value"]),
            git=GitInfo(
                url=git["repo_url"],
                sha=git["sha"],
                refspecs=tuple(git["refspecs"]),
                depth=git["depth"],
            ),
            script=steps["script"],
            after_script=steps.get("after_script", ()),
            image=(raw.get("image") or {}).get("name"),
            uploads=tuple(_upload(item) for item in raw.get("artifacts") or ()),
            caches=tuple(_cache(item) for item in raw.get("cache") or ()),
            dependencies=tuple(_dependency(item) for item in raw.get("dependencies") or ()),
        )


def _upload(raw: dict[str, Any]) -> Upload:
    return Upload(
        name=raw.get("name") or "artifacts",
        paths=tuple(raw.get("paths") or ()),
        exclude=tuple(raw.get("exclude") or ()),
        is_untracked=bool(raw.get("untracked")),
        when=raw.get("when") or "on_success",
        expire_in=raw.get("expire_in"),
        kind=raw.get("artifact_type") or "archive",
        format=raw.get("artifact_format") or "zip",
    )


def _cache(raw: dict[str, Any]) -> CacheSpec:
    return CacheSpec(
        key=raw["key"],
        fallback_keys=tuple(raw.get("fallback_keys") or ()),
        paths=tuple(raw.get("paths") or ()),
        policy=raw.get("policy") or "pull-push",
        when=raw.get("when") or "on_success",
    )


def _dependency(raw: dict[str, Any]) -> Dependency:
    file = raw.get("artifacts_file") or {}
    return Dependency(
        id=raw["id"], name=raw["name"], token=raw["token"], has_archive=bool(file.get("filename"))
    )

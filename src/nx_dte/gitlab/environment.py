"""What GitLab tells a job through its environment, as one value."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["NO_COMMIT", "CiEnvironment", "MergeRequest", "parse_time"]

NO_COMMIT = "0" * 40
"""What GitLab says for "there is no commit before"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeRequest:
    """The merge request that a pipeline is for."""

    iid: str
    source_branch: str | None
    target_branch: str | None
    diff_base_commit: str | None
    """Where source and target parted, as GitLab computed it."""
    event_type: str | None
    """detached, merged_result or merge_train."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CiEnvironment:
    """GitLab's predefined variables of one job. Whatever is absent or empty is None.

    Read it with `from_environ`; nothing else of nx-dte looks at `CI_*` variables.
    """

    is_gitlab: bool = False
    """False on a desk, and in gitlab-ci-local, which says GITLAB_CI=false."""
    api_url: str | None = None
    project_id: str | None = None
    project_path: str | None = None
    project_dir: Path | None = None
    pipeline_id: str | None = None
    pipeline_url: str | None = None
    pipeline_source: str | None = None
    job_id: str | None = None
    job_name: str | None = None
    """With its index, as `name 2/3`, in a job with `parallel`."""
    job_url: str | None = None
    job_started_at: datetime | None = None
    job_token: str | None = field(default=None, repr=False)
    api_token: str | None = field(default=None, repr=False)
    """NX_DTE_GITLAB_TOKEN: a token that may read the API, if the project gives one."""
    node_index: int | None = None
    node_total: int | None = None

    commit: str | None = None
    before_commit: str | None = None
    """CI_COMMIT_BEFORE_SHA; None where GitLab says zeros."""
    ref: str | None = None
    branch: str | None = None
    """None in merge-request and tag pipelines."""
    tag: str | None = None
    default_branch: str | None = None
    repository_url: str | None = field(default=None, repr=False)
    """CI_REPOSITORY_URL: holds the job token."""
    merge_request: MergeRequest | None = None
    ca_file: Path | None = None
    """CI_SERVER_TLS_CA_FILE: the certificate authority of this GitLab."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> CiEnvironment:
        """Read a job's environment. Values that cannot be what GitLab writes count as absent."""

        def text(name: str) -> str | None:
            return environ.get(name, "").strip() or None

        def path(name: str) -> Path | None:
            value = text(name)
            return None if value is None else Path(value)

        before = text("CI_COMMIT_BEFORE_SHA")
        return cls(
            is_gitlab=environ.get("GITLAB_CI") == "true",
            api_url=_url(text("CI_API_V4_URL")),
            project_id=text("CI_PROJECT_ID"),
            project_path=text("CI_PROJECT_PATH"),
            project_dir=path("CI_PROJECT_DIR"),
            pipeline_id=text("CI_PIPELINE_ID"),
            pipeline_url=text("CI_PIPELINE_URL"),
            pipeline_source=text("CI_PIPELINE_SOURCE"),
            job_id=text("CI_JOB_ID"),
            job_name=text("CI_JOB_NAME"),
            job_url=text("CI_JOB_URL"),
            job_started_at=parse_time(text("CI_JOB_STARTED_AT")),
            job_token=text("CI_JOB_TOKEN"),
            api_token=text("NX_DTE_GITLAB_TOKEN"),
            node_index=_number(text("CI_NODE_INDEX")),
            node_total=_number(text("CI_NODE_TOTAL")),
            commit=text("CI_COMMIT_SHA"),
            before_commit=None if before is None or not before.strip("0") else before,
            ref=text("CI_COMMIT_REF_NAME"),
            branch=text("CI_COMMIT_BRANCH"),
            tag=text("CI_COMMIT_TAG"),
            default_branch=text("CI_DEFAULT_BRANCH"),
            repository_url=text("CI_REPOSITORY_URL"),
            merge_request=_merge_request(environ),
            ca_file=path("CI_SERVER_TLS_CA_FILE"),
        )


def _merge_request(environ: Mapping[str, str]) -> MergeRequest | None:
    def text(name: str) -> str | None:
        return environ.get(f"CI_MERGE_REQUEST_{name}", "").strip() or None

    iid = text("IID")
    if iid is None:
        return None
    return MergeRequest(
        iid=iid,
        source_branch=text("SOURCE_BRANCH_NAME"),
        target_branch=text("TARGET_BRANCH_NAME"),
        diff_base_commit=text("DIFF_BASE_SHA"),
        event_type=text("EVENT_TYPE"),
    )


def parse_time(text: object) -> datetime | None:
    """An ISO 8601 time with its zone, as GitLab writes it; None for anything else."""
    if not isinstance(text, str):
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo is not None else None


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None


def _url(text: str | None) -> str | None:
    return text.rstrip("/") if text is not None and text.startswith(("http://", "https://")) else None

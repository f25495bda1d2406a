"""A thin reader of GitLab's API, with the tokens that a job has.

Which of them GitLab accepts where depends on its version and settings, so they are tried in turn: NX_DTE_GITLAB_TOKEN,
then CI_JOB_TOKEN. Nothing is asked without a token.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import quote

from nx_dte.errors import NxDteError
from nx_dte.gitlab.environment import parse_time
from nx_dte.transport import Answer, Caller, NoAnswerError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from nx_dte.gitlab.environment import CiEnvironment

__all__ = ["GitLabApi", "GitLabUnavailableError", "OwnJob", "PipelineJob"]

PER_PAGE = 100
MAX_PAGES = 50
_REFUSED = frozenset({401, 403, 404})
_INDEX = re.compile(r"^(?P<base>.+?)(?: \d+/\d+|: \[.*\])$", re.DOTALL)


class GitLabUnavailableError(NxDteError):
    """GitLab's API cannot be asked from this job."""

    code: ClassVar[str] = "gitlab_unavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnJob:
    """The job that asks."""

    job_id: str
    created_at: datetime
    """Originals are made with the pipeline, clones when somebody or something retries."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineJob:
    """A job of the pipeline, retried ones among them."""

    job_id: int
    name: str
    """With its index, as `name 2/3`, in a job with `parallel`."""
    status: str
    created_at: datetime | None = None
    finished_at: datetime | None = None

    @property
    def base_name(self) -> str:
        """The name as it stands in the pipeline's file: `agent` for `agent 2/3` and for `agent: [x, y]`."""
        match = _INDEX.match(self.name)
        return self.name if match is None else match["base"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GitLabApi:
    """Reads what one job may read. Every method raises GitLabUnavailableError where GitLab does not say."""

    environment: CiEnvironment

    def own_job(self, *, timeout_s: float) -> OwnJob:
        """`GET /job`: what GitLab knows of the asking job. Works with the job token on any GitLab from 13.10 on."""
        job_token = self.environment.job_token
        if job_token is None:
            raise GitLabUnavailableError("this job has no CI_JOB_TOKEN")
        answer = self._get("/job", {"JOB-TOKEN": job_token}, {}, timeout_s)
        body = answer.json() if answer.is_success else None
        created_at = parse_time(body.get("created_at")) if isinstance(body, dict) else None
        if not isinstance(body, dict) or created_at is None:
            raise GitLabUnavailableError(f"GET /job answers {answer.status}")
        return OwnJob(job_id=str(body.get("id")), created_at=created_at)

    def pipeline_jobs(self, *, timeout_s: float) -> tuple[PipelineJob, ...]:
        """All jobs of this pipeline, those that were retried since among them, by id."""
        project, pipeline = self.environment.project_id, self.environment.pipeline_id
        if project is None or pipeline is None:
            raise GitLabUnavailableError("this job has no CI_PROJECT_ID or no CI_PIPELINE_ID")
        path = f"/projects/{quote(project, safe='')}/pipelines/{quote(pipeline, safe='')}/jobs"
        found = self._list(path, {"include_retried": "true"}, timeout_s)
        jobs = {job.job_id: job for entry in found if (job := _pipeline_job(entry)) is not None}
        return tuple(jobs[job_id] for job_id in sorted(jobs))

    def last_green_commit(self, ref: str, *, timeout_s: float) -> str | None:
        """The commit of the newest pipeline of a branch that succeeded; None if there is none."""
        project = self.environment.project_id
        if project is None:
            raise GitLabUnavailableError("this job has no CI_PROJECT_ID")
        query = {"ref": ref, "status": "success", "order_by": "id", "sort": "desc", "per_page": "1"}
        found = self._list(f"/projects/{quote(project, safe='')}/pipelines", query, timeout_s, max_pages=1)
        for pipeline in found:
            sha = pipeline.get("sha")
            if isinstance(sha, str) and sha:
                return sha
        return None

    def _list(
        self, path: str, query: Mapping[str, str], timeout_s: float, *, max_pages: int = MAX_PAGES
    ) -> list[dict[str, Any]]:
        """All pages, with the first token that GitLab accepts here."""
        deadline = time.monotonic() + timeout_s
        refusals = []
        for name, header in self._tokens():
            found: list[dict[str, Any]] = []
            page: str | None = "1"
            for _ in range(max_pages):
                asked = {"per_page": str(PER_PAGE), **query, "page": page or "1"}
                answer = self._get(path, header, asked, deadline - time.monotonic())
                body = answer.json()
                if not answer.is_success or not isinstance(body, list):
                    refusals.append(f"answers {answer.status} to {name}")
                    break
                found += [entry for entry in body if isinstance(entry, dict)]
                page = answer.headers.get("x-next-page") or None
                if page is None:
                    return found
            else:
                return found
            if answer.status not in _REFUSED:
                break
        raise GitLabUnavailableError(
            f"GET {path} {' and '.join(refusals) or 'has no token to be asked with'}"
        )

    def _tokens(self) -> list[tuple[str, dict[str, str]]]:
        tokens = []
        if self.environment.api_token is not None:
            tokens.append(("NX_DTE_GITLAB_TOKEN", {"PRIVATE-TOKEN": self.environment.api_token}))
        if self.environment.job_token is not None:
            tokens.append(("CI_JOB_TOKEN", {"JOB-TOKEN": self.environment.job_token}))
        return tokens

    def _get(
        self, path: str, headers: Mapping[str, str], query: Mapping[str, str], timeout_s: float
    ) -> Answer:
        api_url = self.environment.api_url
        if api_url is None:
            raise GitLabUnavailableError("this job has no CI_API_V4_URL")
        ca_file = self.environment.ca_file
        caller = Caller(base_url=api_url, ca_files=() if ca_file is None else (ca_file,), uses_proxy=True)
        try:
            return caller.get(path, query=query, headers=headers, timeout_s=timeout_s, attempts=3)
        except NoAnswerError as error:
            raise GitLabUnavailableError(error.message) from error


def _pipeline_job(entry: Mapping[str, Any]) -> PipelineJob | None:
    job_id, name, status = entry.get("id"), entry.get("name"), entry.get("status")
    if not isinstance(job_id, int) or not isinstance(name, str) or not isinstance(status, str):
        return None
    return PipelineJob(
        job_id=job_id,
        name=name,
        status=status,
        created_at=parse_time(entry.get("created_at")),
        finished_at=parse_time(entry.get("finished_at")),
    )

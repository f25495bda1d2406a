"""The instance: everything that is remembered, ids, tokens, the clock, and who may do what."""

from __future__ import annotations

import itertools
import secrets
import string
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tests.support.gitlab.errors import ApiError, not_found
from tests.support.gitlab.id_tokens import Signer
from tests.support.gitlab.records import (
    AccessToken,
    Job,
    MergeRequest,
    Pipeline,
    Project,
    Runner,
    RunnerManager,
    User,
)
from tests.support.gitlab.repository import Repository

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["Instance", "Settings"]

_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_LETTERS = string.ascii_letters + string.digits


@dataclass(slots=True, kw_only=True)
class Settings:
    """What differs between GitLab's releases or an administrator may set."""

    job_token_lists_jobs: bool = True
    """CI_JOB_TOKEN may list the jobs of a pipeline (GitLab 18); False answers 401 as 17 does."""
    knows_canceling: bool = True
    """A job whose runner can cancel gracefully becomes `canceling` first (17.0 and newer)."""
    trace_update_interval_s: int = 3
    """What X-GitLab-Trace-Update-Interval says: 3 while somebody watches the log, else GitLab's 60."""
    runner_token_lifetime_s: int | None = None
    """How long runners' new authentication tokens are good, where an administrator lets them expire."""
    issuer: str | None = None
    """`iss` of ID tokens where an administrator set another than the instance's address."""


@dataclass(slots=True)
class Instance:
    """One GitLab. Every public operation happens under `lock`."""

    url: str
    repositories: Path
    settings: Settings = field(default_factory=Settings)
    lock: threading.RLock = field(default_factory=threading.RLock)
    signer: Signer = field(default_factory=Signer)
    users: dict[int, User] = field(default_factory=dict)
    access_tokens: dict[str, AccessToken] = field(default_factory=dict)
    projects: dict[int, Project] = field(default_factory=dict)
    namespaces: dict[str, int] = field(default_factory=dict)
    runners: dict[int, Runner] = field(default_factory=dict)
    merge_requests: list[MergeRequest] = field(default_factory=list)
    pipelines: dict[int, Pipeline] = field(default_factory=dict)
    jobs: dict[int, Job] = field(default_factory=dict)
    queue_version: str = field(default_factory=lambda: secrets.token_hex(8))
    """What runners get as X-GitLab-Last-Update: changes whenever a job may have come for them."""
    _ids: dict[str, Iterator[int]] = field(default_factory=dict)
    _offset: timedelta = timedelta()
    _last: datetime = _LONG_AGO

    # ---------------------------------------------------------------------------------- clock and ids
    def now(self) -> datetime:
        """The time, plus what tests let pass. Each call is later than the one before, as in a database."""
        current = datetime.now(UTC) + self._offset
        self._last = max(current, self._last + timedelta(microseconds=1))
        return self._last

    def let_pass(self, duration: timedelta) -> None:
        """Move the clock on."""
        self._offset += duration

    def next_id(self, kind: str) -> int:
        """Ids differ by kind, so that one taken for another is noticed."""
        first = {"job": 5_000, "pipeline": 700, "runner": 40, "project": 10}.get(kind, 1)
        return next(self._ids.setdefault(kind, itertools.count(first)))

    @staticmethod
    def new_token(prefix: str) -> str:
        """A prefix and twenty characters that differ from the first on."""
        return prefix + "".join(secrets.choice(_LETTERS) for _ in range(20))

    def give_token(self, runner: Runner) -> None:
        """A new authentication token for a runner; its old one is void at once."""
        runner.token = self.new_token("glrt-")
        if self.settings.runner_token_lifetime_s is not None:
            runner.token_expires_at = self.now() + timedelta(seconds=self.settings.runner_token_lifetime_s)

    def tick_queue(self) -> None:
        """Let every waiting runner ask again."""
        self.queue_version = secrets.token_hex(8)

    # ----------------------------------------------------------------------------------- making things
    def add_user(self, username: str) -> User:
        """A person who may do everything."""
        user = User(
            id=self.next_id("user"),
            username=username,
            name=username.title(),
            email=f"{username}@gitlab.invalid",
        )
        self.users[user.id] = user
        return user

    def add_token(
        self, user: User, *scopes: str, project: Project | None = None, token: str | None = None
    ) -> AccessToken:
        """A personal access token, or a project's."""
        access = AccessToken(
            token=token or self.new_token("glpat-"),
            user=user,
            scopes=frozenset(scopes),
            project_id=project.id if project else None,
        )
        self.access_tokens[access.token] = access
        return access

    def add_project(self, path: str, *, default_branch: str = "main", ci_file: str | None = None) -> Project:
        """A project with an empty repository, or the one that lies there already."""
        namespace, _, name = path.rpartition("/")
        if not namespace or not name:
            raise ApiError(400, f"{path!r} is not of the form group/name")
        if any(project.path == path for project in self.projects.values()):
            raise ApiError(400, "path has already been taken")
        project = Project(
            id=self.next_id("project"),
            path=path,
            namespace_id=self.namespaces.setdefault(namespace, self.next_id("namespace")),
            repository=self.repositories / f"{path}.git",
            default_branch=default_branch,
            ci_file=ci_file,
        )
        self.repository_of(project).create(default_branch)
        self.projects[project.id] = project
        return project

    @staticmethod
    def repository_of(project: Project) -> Repository:
        """Its git side."""
        return Repository(project.repository)

    # --------------------------------------------------------------------------------------- finding
    def project(self, key: str) -> Project:
        """By id or path; 404."""
        for project in self.projects.values():
            if key in {str(project.id), project.path}:
                return project
        raise not_found("Project")

    def pipeline(self, project: Project, pipeline_id: int) -> Pipeline:
        """404 unless it is the project's."""
        pipeline = self.pipelines.get(pipeline_id)
        if pipeline is None or pipeline.project is not project:
            raise not_found("Pipeline")
        return pipeline

    def job(self, project: Project, job_id: int) -> Job:
        """404 unless it is the project's."""
        job = self.jobs.get(job_id)
        if job is None or job.project is not project:
            raise ApiError(404, "404 Not found")
        return job

    def runner_by_token(self, token: str) -> Runner | None:
        """Whose authentication token it is, if it has not expired."""
        for runner in self.runners.values():
            if runner.token == token:
                expires = runner.token_expires_at
                return runner if expires is None or expires > self.now() else None
        return None

    def job_by_token(self, token: str) -> Job | None:
        """The running job whose CI_JOB_TOKEN this is."""
        for job in self.jobs.values():
            if token and job.token == token and job.is_on_runner:
                return job
        return None

    def open_merge_requests(self, project: Project, branch: str) -> list[MergeRequest]:
        """Those that would merge this branch."""
        return [
            request
            for request in self.merge_requests
            if request.source_project is project
            and request.source_branch == branch
            and request.state == "opened"
        ]

    def manager(self, runner: Runner, system_id: str) -> RunnerManager:
        """The host's row under the runner, made when it is new."""
        manager = runner.managers.get(system_id)
        if manager is None:
            manager = RunnerManager(
                id=self.next_id("runner_manager"), system_id=system_id, contacted_at=self.now()
            )
            runner.managers[system_id] = manager
        manager.contacted_at = self.now()
        runner.contacted_at = manager.contacted_at
        return manager

"""Makes pipelines: rules decide which jobs they hold; all first rows are made at once, before anything starts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.support.gitlab import processing, variables
from tests.support.gitlab.ci_file import rules, yaml_text
from tests.support.gitlab.ci_file.job_spec import copies, job_spec, variables_of
from tests.support.gitlab.errors import ApiError
from tests.support.gitlab.records import NO_COMMIT, MergeRequest, Pipeline, Project, User
from tests.support.gitlab.repository import CommitChanges
from tests.support.gitlab.rows import add_job
from tests.support.gitlab.transitions import cancel

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.support.gitlab.ci_file.job_spec import JobSpec, Variable
    from tests.support.gitlab.ci_file.yaml_text import CiText
    from tests.support.gitlab.instance import Instance

__all__ = ["Wanted", "create", "create_merge_request"]

_NO_JOBS = "Pipeline will not run for the selected trigger. The rules configuration prevented any jobs from being added to the pipeline."
_SOURCES = {"push", "web", "trigger", "schedule", "api", "pipeline", "merge_request_event"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a pipeline is to be made for."""

    project: Project
    user: User
    source: str
    ref: str = ""
    """A branch or tag; for a merge request it is known."""
    sha: str | None = None
    """The commit; None for the newest of the ref."""
    before_sha: str = NO_COMMIT
    """What a push moved the ref from; zeros for a new one."""
    merge_request: MergeRequest | None = None
    variables: Mapping[str, Variable] = field(default_factory=dict)
    ci_file: str | None = None


def create_merge_request(
    instance: Instance, project: Project, source_branch: str, target_branch: str, title: str = "",
    *, source_project: Project | None = None,
) -> MergeRequest:  # fmt: skip
    """Open a merge request and set the ref of its head."""
    source_project = source_project or project
    sha = instance.repository_of(source_project).commit_of(source_branch)
    instance.repository_of(project).commit_of(target_branch)
    if source_project is not project:
        raise ApiError(400, "this stand-in does not know merge requests from forks")
    project.merge_requests += 1
    request = MergeRequest(
        id=instance.next_id("merge_request"),
        iid=project.merge_requests,
        project=project,
        source_project=source_project,
        source_branch=source_branch,
        target_branch=target_branch,
        title=title or source_branch,
    )
    instance.repository_of(project).set_ref(request.ref_path, sha)
    instance.merge_requests.append(request)
    return request


def create(instance: Instance, wanted: Wanted) -> Pipeline:
    """Make the pipeline and start it.

    Raises:
        ApiError: 400 with the reason, as GitLab gives it, when there is none to make.
    """
    if wanted.source not in _SOURCES:
        raise ApiError(400, f"this stand-in does not know the source {wanted.source!r}")
    project = wanted.project
    repository = instance.repository_of(project)
    pipeline = _row(instance, wanted)
    text = yaml_text.read(
        wanted.ci_file or project.ci_file or repository.file(pipeline.sha, ".gitlab-ci.yml")
    )
    pipeline.stages = text.stages
    specs = list(_specs(instance, pipeline, text))
    if all(spec.stage in {".pre", ".post"} for spec in specs):
        raise ApiError(400, _NO_JOBS)
    _check_needs(specs, text)
    project.pipelines += 1
    pipeline.iid = project.pipelines
    instance.pipelines[pipeline.id] = pipeline
    repository.set_ref(f"refs/pipelines/{pipeline.id}", pipeline.sha)
    order = {stage: index for index, stage in enumerate(text.stages)}
    for spec in sorted(specs, key=lambda spec: order[spec.stage]):
        add_job(instance, pipeline, spec, pipeline.user, order[spec.stage])
    _cancel_redundant(instance, pipeline)
    processing.process(instance, pipeline)
    return pipeline


def _row(instance: Instance, wanted: Wanted) -> Pipeline:
    repository = instance.repository_of(wanted.project)
    request = wanted.merge_request
    is_merge_request = wanted.source == "merge_request_event"
    if is_merge_request != (request is not None):
        raise ApiError(400, "a merge request pipeline needs its merge request, and no other has one")
    is_tag = False
    if request is not None:
        sha = wanted.sha or instance.repository_of(request.source_project).commit_of(request.source_branch)
        repository.set_ref(request.ref_path, sha)
        ref = request.ref_path
    else:
        ref = wanted.ref
        is_tag = repository.is_tag(ref)
        sha = wanted.sha or repository.commit_of(ref, is_tag=is_tag)
    return Pipeline(
        id=instance.next_id("pipeline"),
        iid=0,
        project=wanted.project,
        user=wanted.user,
        source=wanted.source,
        ref=ref,
        is_tag=is_tag,
        sha=sha,
        before_sha=wanted.before_sha if wanted.source == "push" else NO_COMMIT,
        created_at=instance.now(),
        stages=(),
        merge_request=request,
        variables=dict(wanted.variables),
    )


def _specs(instance: Instance, pipeline: Pipeline, text: CiText) -> Iterator[JobSpec]:
    known = variables.for_pipeline(instance, pipeline)
    base: str | None = None
    if pipeline.merge_request is not None:
        base = known["CI_MERGE_REQUEST_DIFF_BASE_SHA"].value
    elif pipeline.source == "push" and pipeline.before_sha != NO_COMMIT:
        base = pipeline.before_sha
    shared = {**variables_of(text.variables), **pipeline.variables}
    context = rules.Context(
        variables=variables.plain({**known, **shared}),
        changes=CommitChanges(
            repository=instance.repository_of(pipeline.project), sha=pipeline.sha, base=base
        ),
        source=pipeline.source,
        ref=pipeline.ref,
        is_tag=pipeline.is_tag,
        has_workflow_rules="rules" in text.workflow,
    )
    added = rules.workflow_variables(text.workflow, context)
    if added is None:
        raise ApiError(400, "Pipeline filtered out by workflow rules.")
    pipeline.is_kept = rules.is_kept(text.workflow, context)
    context = rules.Context(
        variables={**context.variables, **variables.plain(added), **variables.plain(pipeline.variables)},
        changes=context.changes,
        source=context.source,
        ref=context.ref,
        is_tag=context.is_tag,
        has_workflow_rules=context.has_workflow_rules,
        never_overridden=frozenset(pipeline.variables),
    )
    for name, raw in text.jobs.items():
        own = {**text.job_variables[name], **{key: item.value for key, item in added.items()}}
        spec: JobSpec | None = job_spec(name, raw, own, text.stages)
        assert spec is not None
        if "rules" in raw:
            spec = rules.applied(spec, raw["rules"], context)
        elif not rules.is_wanted_by_only(raw, context) or spec.when == "never":
            spec = None
        if spec is not None:
            yield from copies(spec, raw.get("parallel"))


def _check_needs(specs: list[JobSpec], text: CiText) -> None:
    names = {spec.base_name for spec in specs} | {spec.name for spec in specs}
    order = {stage: index for index, stage in enumerate(text.stages)}
    stage_of = {spec.base_name: order[spec.stage] for spec in specs}
    for spec in specs:
        for need in spec.needs or ():
            if need.job not in names:
                if need.is_optional:
                    continue
                raise ApiError(
                    400,
                    f"'{spec.base_name}' job needs '{need.job}' job, but '{need.job}' does not exist in the "
                    "pipeline. This might be because of the only, except, or rules keywords. To need a job that "
                    "sometimes does not exist in the pipeline, use needs:optional.",
                )
            if stage_of.get(need.job, 0) > order[spec.stage]:
                raise ApiError(
                    400, f"{spec.base_name} job: need {need.job} is not defined in current or prior stages"
                )
        for name in spec.dependencies or ():
            if name not in text.jobs:
                raise ApiError(400, f"{spec.base_name} job: undefined dependency: {name}")


def _cancel_redundant(instance: Instance, pipeline: Pipeline) -> None:
    """A newer commit of the same ref cancels older pipelines in which only interruptible jobs have started."""
    if not pipeline.project.auto_cancels or pipeline.source not in {"push", "merge_request_event"}:
        return
    for older in list(instance.pipelines.values()):
        if (
            older.project is not pipeline.project
            or older.ref != pipeline.ref
            or older.id >= pipeline.id
            or older.sha == pipeline.sha
            or older.is_kept
            or older.status.is_completed
        ):
            continue
        if all(job.spec.interruptible for job in older.jobs if job.started_at is not None):
            for job in older.latest:
                if job.status.is_cancelable:
                    cancel(instance, job)
            processing.process(instance, older)

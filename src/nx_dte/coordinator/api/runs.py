"""Routes of main jobs: CI runs, records, invocations."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Query, Request, Response

from nx_dte.coordinator.api.services import Caller, Services, patience
from nx_dte.coordinator.api.views import event_view, news_view, run_view, task_view
from nx_dte.coordinator.engine.explaining import why
from nx_dte.coordinator.engine.queries import EventFilter
from nx_dte.coordinator.scheduler import events
from nx_dte.coordinator.scheduler.errors import TokenAccessDiffersError
from nx_dte.model.ids import ArtifactId, CiRunId, InvocationId, JobId, TaskHash, TaskId
from nx_dte.protocol import runs as wire
from nx_dte.protocol.base import MAX_RECORD_OUTPUT_BYTES
from nx_dte.protocol.tasks import EventsAnswer, StoryAnswer, TasksAnswer

if TYPE_CHECKING:
    from nx_dte.coordinator.api.services import ApiServices
    from nx_dte.coordinator.auth import Identity

router = APIRouter(prefix="/api/v1", tags=["main job"])


async def _view(services: ApiServices, caller: Identity, ci_run_id: CiRunId) -> wire.CiRunView:
    overview = await services.engine.queries.run(caller.workspace_id, ci_run_id)
    return run_view(overview, main_ping_s=services.engine.limits.heartbeat_s)


@router.post("/ci-runs")
async def open_run(body: wire.OpenCiRun, caller: Caller, services: Services) -> wire.CiRunView:
    """Open the CI run, or find it."""
    event = events.RunOpened(
        workspace_id=caller.workspace_id,
        ci_id=body.ci_id,
        environment=body.environment,
        job_id=JobId(body.job_id),
        token_access=caller.access,
        branch=body.branch,
        commit=body.commit,
        nx_version=body.nx_version,
        distribute_on=body.distribute_on,
        distribute_by_default=body.use_dte_by_default,
        stop_agents_after=body.stop_agents_after,
        stop_agents_on_failure=body.stop_agents_on_failure,
        require_explicit_completion=body.require_explicit_completion,
    )
    run = await services.engine.main_jobs.open_run(event)
    return await _view(services, caller, run.ci_run_id)


@router.get("/ci-runs")
async def find_run(ci_id: str, caller: Caller, services: Services, environment: str = "") -> wire.FoundCiRun:
    """The newest attempt of a key."""
    overview = await services.engine.queries.newest_run(caller.workspace_id, ci_id, environment)
    ping_s = services.engine.limits.heartbeat_s
    return wire.FoundCiRun(ci_run=None if overview is None else run_view(overview, main_ping_s=ping_s))


@router.get("/ci-runs/{ci_run_id}")
async def get_run(ci_run_id: str, caller: Caller, services: Services) -> wire.CiRunView:
    """One CI run."""
    return await _view(services, caller, CiRunId(ci_run_id))


@router.post("/ci-runs/{ci_run_id}/ping")
async def ping(ci_run_id: str, _body: wire.Ping, caller: Caller, services: Services) -> wire.PingAnswer:
    """Main lives."""
    run = await services.engine.main_jobs.ping(caller, CiRunId(ci_run_id))
    return wire.PingAnswer(state=run.state, ping_s=services.engine.limits.heartbeat_s)


@router.post("/ci-runs/{ci_run_id}/main-left")
async def main_left(
    ci_run_id: str, body: wire.MainLeftNotice, caller: Caller, services: Services
) -> wire.CiRunView:
    """A main job's shell has ended."""
    event = events.MainLeft(job_id=JobId(body.job_id), note=body.reason)
    run = await services.engine.main_jobs.main_left(caller, CiRunId(ci_run_id), event)
    return await _view(services, caller, run.ci_run_id)


@router.post("/ci-runs/{ci_run_id}/complete")
async def complete(ci_run_id: str, body: wire.Reason, caller: Caller, services: Services) -> wire.CiRunView:
    """End the run."""
    event = events.RunCompleted(note=body.reason)
    run = await services.engine.main_jobs.complete(caller, CiRunId(ci_run_id), event)
    return await _view(services, caller, run.ci_run_id)


@router.post("/ci-runs/{ci_run_id}/records")
async def add_record(
    ci_run_id: str, body: wire.RecordCommand, caller: Caller, services: Services
) -> wire.RecordAnswer:
    """A recorded command has ended; of a very long output the tail is kept."""
    tail = body.terminal_output.encode()[-MAX_RECORD_OUTPUT_BYTES:].decode("utf-8", "ignore")
    event = events.RecordReported(
        record_key=body.record_key,
        command=body.command,
        code=body.code,
        terminal_output=tail,
        started_at=body.started_at,
        ended_at=body.ended_at,
    )
    return wire.RecordAnswer(
        record_id=await services.engine.main_jobs.add_record(caller, CiRunId(ci_run_id), event)
    )


def _submitted(task: wire.SubmittedTask) -> events.SubmittedTask:
    hit = None
    if task.hit is not None:
        hit = events.Hit(
            artifact_id=None if task.hit.artifact_id is None else ArtifactId(task.hit.artifact_id),
            nx_status=task.hit.nx_status,
        )
    return events.SubmittedTask(
        task_id=TaskId(task.task_id),
        project=task.project,
        target=task.target,
        configuration=task.configuration,
        task_hash=None if task.hash is None else TaskHash(task.hash),
        is_cacheable=task.cacheable,
        is_parallel=task.parallelism,
        is_noop=task.noop,
        outputs=task.outputs,
        dependencies=tuple(TaskId(dependency) for dependency in task.dependencies),
        hit=hit,
    )


@router.post("/ci-runs/{ci_run_id}/invocations")
async def submit(
    ci_run_id: str, body: wire.SubmitInvocation, caller: Caller, services: Services
) -> wire.SubmitAnswer:
    """Distribute one `nx ...` command."""
    event = events.InvocationSubmitted(
        invocation_key=body.invocation_key,
        command=body.command,
        targets=body.targets,
        configuration=body.configuration,
        parallel=body.parallel,
        nx_bail=body.nx_bail,
        skip_nx_cache=body.skip_nx_cache,
        task_timeout_s=body.task_timeout_s,
        payload=body.payload,
        tasks=tuple(_submitted(task) for task in body.tasks),
    )
    answer = await services.engine.main_jobs.submit(caller, CiRunId(ci_run_id), event)
    return wire.SubmitAnswer(
        invocation_id=answer.invocation.invocation_id,
        state=answer.invocation.state,
        sequence=answer.sequence,
    )


@router.get("/ci-runs/{ci_run_id}/events")
async def follow(
    ci_run_id: str,
    request: Request,
    caller: Caller,
    services: Services,
    query: Annotated[wire.FollowEvents, Query()],
) -> EventsAnswer:
    """Follow what happens in a run. An agent that reads results says so: it is no sign of life of main."""
    run_id = CiRunId(ci_run_id)
    if query.agent_id is None:
        with suppress(TokenAccessDiffersError):  # who only looks is no sign of life
            await services.engine.main_jobs.ping(caller, run_id)
    wanted = EventFilter(
        after=query.after,
        invocation_id=None if query.invocation_id is None else InvocationId(query.invocation_id),
        kinds=frozenset(kind for kind in query.kinds.split(",") if kind),
        limit=query.limit,
    )
    news = await services.engine.queries.follow(
        caller.workspace_id, run_id, wanted, patience(request, query.wait_s)
    )
    return news_view(news, after=query.after, limit=query.limit)


@router.get("/ci-runs/{ci_run_id}/tasks")
async def list_tasks(ci_run_id: str, caller: Caller, services: Services) -> TasksAnswer:
    """All tasks of a run."""
    tasks = await services.engine.queries.tasks(caller.workspace_id, CiRunId(ci_run_id))
    return TasksAnswer(tasks=tuple(task_view(task) for task in tasks))


@router.get("/invocations/{invocation_id}/payload", response_class=Response)
async def payload(invocation_id: str, caller: Caller, services: Services) -> Response:
    """What main submitted for agents, as it came."""
    text = await services.engine.queries.payload(caller.workspace_id, InvocationId(invocation_id))
    return Response(text, media_type="application/json")


@router.post("/invocations/{invocation_id}/cancel")
async def cancel(
    invocation_id: str, body: wire.Reason, caller: Caller, services: Services
) -> wire.SubmitAnswer:
    """Main takes a command back."""
    answer = await services.engine.main_jobs.cancel(caller, InvocationId(invocation_id), body.reason)
    return wire.SubmitAnswer(
        invocation_id=answer.invocation.invocation_id,
        state=answer.invocation.state,
        sequence=answer.sequence,
    )


@router.get("/invocations/{invocation_id}/tasks/{task_id:path}/story")
async def get_story(invocation_id: str, task_id: str, caller: Caller, services: Services) -> StoryAnswer:
    """Why is this task where it is?"""
    told = await services.engine.queries.story(
        caller.workspace_id, InvocationId(invocation_id), TaskId(task_id)
    )
    return StoryAnswer(
        task=task_view(told.task),
        why=why(told.task, told.invocation, told.run, told.dependencies),
        events=tuple(event_view(event) for event in told.events),
    )

"""What the API reads. Reads never pass through the scheduler, and see one consistent snapshot each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nx_dte.coordinator.engine import loading
from nx_dte.coordinator.engine.acting import main_topic
from nx_dte.coordinator.engine.waiting import until
from nx_dte.coordinator.scheduler import policy

if TYPE_CHECKING:
    from nx_dte.coordinator.engine.notifier import Notifier
    from nx_dte.coordinator.engine.runner import EventRunner
    from nx_dte.coordinator.engine.waiting import Patience
    from nx_dte.coordinator.store.base import Reads, StateCounts
    from nx_dte.model.agent import Agent
    from nx_dte.model.event import Event
    from nx_dte.model.ids import CiRunId, InvocationId, TaskId, WorkspaceId
    from nx_dte.model.invocation import Invocation
    from nx_dte.model.run import CiRun
    from nx_dte.model.task import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOverview:
    """A run with its agents and invocations."""

    run: CiRun
    agents: tuple[Agent, ...]
    invocations: tuple[Invocation, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """Events after a sequence number, and where things stand."""

    run: CiRun
    events: tuple[Event, ...]
    invocation: Invocation | None
    agents_live: int


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """Which events are wanted."""

    after: int
    invocation_id: InvocationId | None
    kinds: frozenset[str]
    limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStory:
    """A task with everything that happened to it."""

    run: CiRun
    invocation: Invocation
    task: Task
    events: tuple[Event, ...]
    dependencies: tuple[Task, ...]


class Queries:
    """Questions that change nothing."""

    def __init__(self, runner: EventRunner, notifier: Notifier) -> None:
        self._runner = runner
        self._notifier = notifier

    async def run(self, workspace_id: WorkspaceId, ci_run_id: CiRunId) -> RunOverview:
        """A run by its id."""

        def work(reads: Reads) -> RunOverview:
            return _overview(reads, loading.own_run(reads.run(ci_run_id), workspace_id, "CI run", ci_run_id))

        return await self._runner.read(work)

    async def newest_run(self, workspace_id: WorkspaceId, ci_id: str, environment: str) -> RunOverview | None:
        """The newest attempt of a key."""

        def work(reads: Reads) -> RunOverview | None:
            run = reads.newest_run(workspace_id, ci_id, environment)
            return None if run is None else _overview(reads, run)

        return await self._runner.read(work)

    async def follow(
        self, workspace_id: WorkspaceId, ci_run_id: CiRunId, wanted: EventFilter, patience: Patience
    ) -> News:
        """Events after a sequence number; wait a little when there are none."""

        def work(reads: Reads) -> News:
            run = loading.own_run(reads.run(ci_run_id), workspace_id, "CI run", ci_run_id)
            invocation = None
            if wanted.invocation_id is not None:
                found = reads.invocation(wanted.invocation_id)
                is_own = found is not None and found.ci_run_id == ci_run_id
                invocation = loading.found(found if is_own else None, "invocation", wanted.invocation_id)
            events = reads.events_after(
                ci_run_id,
                wanted.after,
                invocation_id=wanted.invocation_id,
                kinds=wanted.kinds,
                limit=wanted.limit,
            )
            at_work = reads.agents_at_work(ci_run_id, self._runner.now() - policy.AT_WORK)
            return News(run=run, events=events, invocation=invocation, agents_live=len(at_work))

        async def attempt() -> News:
            return await self._runner.read(work)

        async def always() -> bool:
            return True

        with self._notifier.listen(main_topic(ci_run_id)) as listener:
            return await until(attempt, lambda news: bool(news.events), always, listener, patience)

    async def tasks(self, workspace_id: WorkspaceId, ci_run_id: CiRunId) -> tuple[Task, ...]:
        """All tasks of a run."""

        def work(reads: Reads) -> tuple[Task, ...]:
            loading.own_run(reads.run(ci_run_id), workspace_id, "CI run", ci_run_id)
            return reads.tasks_of_run(ci_run_id)

        return await self._runner.read(work)

    async def payload(self, workspace_id: WorkspaceId, invocation_id: InvocationId) -> str:
        """What main submitted for the agents, as it came."""

        def work(reads: Reads) -> str:
            _own_invocation(reads, workspace_id, invocation_id)
            return loading.found(reads.payload(invocation_id), "payload of invocation", invocation_id)

        return await self._runner.read(work)

    async def story(
        self, workspace_id: WorkspaceId, invocation_id: InvocationId, task_id: TaskId
    ) -> TaskStory:
        """Everything that happened to a task."""

        def work(reads: Reads) -> TaskStory:
            run, invocation = _own_invocation(reads, workspace_id, invocation_id)
            task = loading.found(reads.task(invocation_id, task_id), "task", task_id)
            dependencies = (reads.task(invocation_id, dependency) for dependency in task.dependencies)
            return TaskStory(
                run=run,
                invocation=invocation,
                task=task,
                events=reads.story(invocation_id, task_id),
                dependencies=tuple(task for task in dependencies if task is not None),
            )

        return await self._runner.read(work)

    async def counts(self) -> StateCounts:
        """How many of everything, for the gauges."""
        return await self._runner.read(lambda reads: reads.counts())


def _overview(reads: Reads, run: CiRun) -> RunOverview:
    return RunOverview(
        run=run, agents=reads.agents(run.ci_run_id), invocations=reads.invocations(run.ci_run_id)
    )


def _own_invocation(
    reads: Reads, workspace_id: WorkspaceId, invocation_id: InvocationId
) -> tuple[CiRun, Invocation]:
    invocation = loading.found(reads.invocation(invocation_id), "invocation", invocation_id)
    run = loading.own_run(reads.run(invocation.ci_run_id), workspace_id, "invocation", invocation_id)
    return run, invocation

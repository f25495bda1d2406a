"""Loads the slice that a decision needs, and nothing more. An id that is not there is answered before deciding."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from nx_dte.coordinator.engine.errors import NotFoundError
from nx_dte.coordinator.scheduler import events, policy, state
from nx_dte.coordinator.scheduler.errors import TokenAccessDiffersError

if TYPE_CHECKING:
    from datetime import datetime

    from nx_dte.coordinator.auth import Identity
    from nx_dte.coordinator.scheduler.context import Context, Limits
    from nx_dte.coordinator.store.base import Reads, Session
    from nx_dte.model.agent import Agent
    from nx_dte.model.ids import AgentId, CiRunId, InvocationId, TaskKey, WorkspaceId
    from nx_dte.model.invocation import Invocation
    from nx_dte.model.lease import Lease
    from nx_dte.model.run import CiRun
    from nx_dte.model.task import Task

T = TypeVar("T")
FEW_CANDIDATES = 12


def found(value: T | None, what: str, key: str) -> T:
    """The value, or the answer that it is not there."""
    if value is None:
        raise NotFoundError(f"there is no {what} {key} in this workspace")
    return value


def own_run(run: CiRun | None, workspace_id: WorkspaceId, what: str, key: str) -> CiRun:
    """The run, if it is one of the workspace; others are as good as not there."""
    return found(run if run is not None and run.workspace_id == workspace_id else None, what, key)


def run_to_change(run: CiRun | None, who: Identity, what: str, key: str) -> CiRun:
    """The run, if this token may change it: a run is changed by the kind of token only that has opened it.

    Raises:
        TokenAccessDiffersError: it was opened with the other kind.
    """
    own = own_run(run, who.workspace_id, what, key)
    if own.token_access is not who.access:
        raise TokenAccessDiffersError(own, who.access)
    return own


def run_slice(session: Session, who: Identity, ci_run_id: CiRunId) -> state.RunSlice:
    """For any sign of life of main."""
    return state.RunSlice(run=run_to_change(session.lock_run(ci_run_id), who, "CI run", ci_run_id))


def open_slice(session: Session, event: events.RunOpened) -> state.OpenSlice:
    """For `start-ci-run`."""
    key = (event.workspace_id, event.ci_id, event.environment)
    newest = session.lock_newest_run(*key)
    is_in_the_way = (
        newest is not None and not newest.state.is_over and newest.token_access is not event.token_access
    )
    return state.OpenSlice(
        newest=newest,
        is_job_seen=session.is_job_seen(*key, event.job_id, event.token_access),
        untrusted_work=end_slice(session, newest, with_work=True, with_main_jobs=False).work
        if newest is not None and is_in_the_way
        else (),
    )


def end_slice(session: Session, run: CiRun, *, with_work: bool, with_main_jobs: bool) -> state.EndSlice:
    """For whatever may end a run."""
    running = session.invocations(run.ci_run_id, running_only=True) if with_work else ()
    return state.EndSlice(
        run=run,
        work=tuple(invocation_work(session, invocation) for invocation in running),
        main_jobs=session.main_jobs(run.ci_run_id) if with_main_jobs else (),
    )


def invocation_work(session: Reads, invocation: Invocation) -> state.InvocationWork:
    """An invocation with all that is unfinished in it."""
    if invocation.tasks_unfinished == 0:
        return state.InvocationWork(invocation=invocation, unfinished=(), live_leases=())
    return state.InvocationWork(
        invocation=invocation,
        unfinished=session.unfinished_tasks(invocation.invocation_id),
        live_leases=session.live_leases_of_invocation(invocation.invocation_id),
    )


def submit_slice(session: Session, run: CiRun, event: events.InvocationSubmitted) -> state.SubmitSlice:
    """For a submitted command."""
    hits = {task.hit.artifact_id for task in event.tasks if task.hit and task.hit.artifact_id}
    return state.SubmitSlice(
        run=run,
        existing=session.invocation_by_key(run.ci_run_id, event.invocation_key),
        durations=session.durations(run.workspace_id, {task.target for task in event.tasks}),
        artifacts=session.artifacts(run.workspace_id, hits) if hits else {},
    )


def agent_with_run(session: Session, who: Identity, agent_id: AgentId) -> tuple[CiRun, Agent]:
    """An agent and its run, locked."""
    run = run_to_change(session.lock_run_of_agent(agent_id), who, "agent", agent_id)
    return run, found(session.agent(agent_id), "agent", agent_id)


class TaskLoader:
    """Loads held tasks; an invocation is read once, however many of its tasks are held."""

    def __init__(self, session: Session, limits: Limits) -> None:
        self._session = session
        self._limits = limits
        self._invocations: dict[InvocationId, Invocation] = {}

    def invocation(self, invocation_id: InvocationId) -> Invocation:
        """The invocation, read at most once."""
        if invocation_id not in self._invocations:
            invocation = found(self._session.invocation(invocation_id), "invocation", invocation_id)
            self._invocations[invocation_id] = invocation
        return self._invocations[invocation_id]

    def held(self, lease: Lease, *, may_end: bool, fails: bool = False) -> state.HeldTask:
        """A lease with what its end touches; `may_end`: it may end now, `fails`: the task may fail with it."""
        task = found(self._session.task(lease.invocation_id, lease.task_id), "task", lease.task_id)
        invocation = self.invocation(lease.invocation_id)
        is_last_try = (
            task.lost_attempts + 1 >= self._limits.max_lost_attempts
            or task.attempt >= self._limits.max_attempts
        )
        doomed = self.doomed(task, invocation) if may_end and (is_last_try or fails) else ()
        return state.HeldTask(lease=lease, task=task, invocation=invocation, doomed=doomed)

    def doomed(self, task: Task, invocation: Invocation) -> tuple[Task, ...]:
        """What is skipped when the task ends badly."""
        if invocation.nx_bail:
            return self._session.waiting_tasks(invocation.invocation_id)
        return self._session.unfinished_closure(task.invocation_id, task.task_id)


def claim_slice(
    session: Session, run: CiRun, agent: Agent, event: events.TasksClaimed, context: Context
) -> state.ClaimSlice:
    """For an agent that asks for work."""
    limits, now = context.limits, context.now
    holding = event.holding
    loader = TaskLoader(session, limits)
    leases = session.live_leases_of_agent(agent.agent_id)
    invocations = session.invocations(run.ci_run_id, running_only=True)
    candidates: list[Task] = []
    held_bytes: dict[TaskKey, int] = {}
    for invocation in invocations:
        if invocation.has_bailed:
            continue
        ready: list[Task] = []
        # Enough for every slot, and some more to choose between equals; most agents have a few slots only.
        slots = invocation.parallel if event.slots is None else event.slots
        limit = min(policy.CANDIDATES, max(FEW_CANDIDATES, 2 * slots))
        for runs_alone in (False, True):
            ready += session.ready_tasks(invocation.invocation_id, runs_alone=runs_alone, limit=limit)
        with_dependencies = [task.task_id for task in ready if task.dependencies]
        held_bytes.update(session.held_bytes(invocation.invocation_id, with_dependencies, agent.agent_id))
        candidates += ready
    held = tuple(loader.held(lease, may_end=lease.lease_id not in holding) for lease in leases)
    is_choosy = any(
        task.avoid_agent_id == agent.agent_id for task in (*candidates, *(one.task for one in held))
    )
    return state.ClaimSlice(
        run=run,
        agent=agent,
        held=held,
        invocations=invocations,
        candidates=tuple(candidates),
        held_bytes=held_bytes,
        has_peer=is_choosy and _has_peer(session, agent, now),
    )


def _has_peer(session: Session, agent: Agent, now: datetime) -> bool:
    return bool(session.agents_at_work(agent.ci_run_id, now - policy.AT_WORK) - {agent.agent_id})


def report_slice(
    session: Session, run: CiRun, agent: Agent, event: events.TaskReported, limits: Limits
) -> state.ReportSlice:
    """For the end of a task attempt."""
    lease = session.lease(event.lease_id)
    if lease is None or lease.ci_run_id != run.ci_run_id:
        return state.ReportSlice(run=run, agent=agent, lease=None, task=None, invocation=None)
    loader = TaskLoader(session, limits)
    invocation = loader.invocation(lease.invocation_id)
    task = found(session.task(lease.invocation_id, lease.task_id), "task", lease.task_id)
    is_well = event.outcome is events.ReportOutcome.SUCCEEDED
    is_failed = event.outcome is events.ReportOutcome.FAILED
    task_hash = task.task_hash or event.task_hash
    artifact = None
    if event.artifact_id is not None:
        artifact = session.artifact(run.workspace_id, event.artifact_id)
    return state.ReportSlice(
        run=run,
        agent=agent,
        lease=lease,
        task=task,
        invocation=invocation,
        dependents=session.dependents(task.invocation_id, task.task_id) if is_well else (),
        doomed=() if is_well else loader.doomed(task, invocation),
        artifact=artifact,
        is_known_flaky=is_failed
        and task_hash is not None
        and session.is_known_flaky(run.workspace_id, task_hash),
    )


def gone_slice(session: Session, run: CiRun, agent: Agent, limits: Limits) -> state.GoneSlice:
    """For an agent that leaves or fell silent."""
    loader = TaskLoader(session, limits)
    leases = session.live_leases_of_agent(agent.agent_id)
    return state.GoneSlice(
        run=run, agent=agent, held=tuple(loader.held(lease, may_end=True) for lease in leases)
    )

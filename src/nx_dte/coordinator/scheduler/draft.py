"""The working set of one decision: what the slice loaded, as it is changed step by step.

Transitions change values here only, so that a decision that touches a row twice still yields one fact for it, and so
that every move is checked against the table and every event gets its number in one place.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TypeVar

from nx_dte.coordinator.scheduler import facts
from nx_dte.coordinator.scheduler.answers import Answer, Decision
from nx_dte.coordinator.scheduler.context import Context
from nx_dte.coordinator.scheduler.effects import WakeAgents, WakeMain
from nx_dte.coordinator.scheduler.effects_log import EffectsLog
from nx_dte.coordinator.scheduler.moves import check_move
from nx_dte.coordinator.scheduler.rows import Rows
from nx_dte.coordinator.scheduler.state import HeldTask
from nx_dte.model.agent import Agent
from nx_dte.model.event import Event, EventKind
from nx_dte.model.ids import AgentId, InvocationId, LeaseId, TaskKey
from nx_dte.model.invocation import Invocation
from nx_dte.model.lease import Lease
from nx_dte.model.run import CiRun
from nx_dte.model.task import Task

AnswerT = TypeVar("AnswerT", bound=Answer)


class Draft:
    """Loads, changes, and in the end tells the facts."""

    __slots__ = (
        "_events",
        "_extra",
        "_learned",
        "_run",
        "agents",
        "context",
        "effects",
        "invocations",
        "leases",
        "now",
        "tasks",
    )

    def __init__(self, context: Context, run: CiRun, *, is_new: bool = False) -> None:
        self.context = context
        self.now = context.now
        self.effects = EffectsLog()
        self.invocations: Rows[InvocationId, Invocation] = Rows()
        self.tasks: Rows[TaskKey, Task] = Rows()
        self.leases: Rows[LeaseId, Lease] = Rows()
        self.agents: Rows[AgentId, Agent] = Rows()
        self._run: Rows[None, CiRun] = Rows()
        self._events: list[Event] = []
        self._extra: list[facts.Fact] = []
        self._learned: list[facts.Fact] = []
        if is_new:
            self._run.add(None, run)
        else:
            self._run.load(None, run)

    # ------------------------------------------------------------------------------------- loading
    def load_held(self, held: HeldTask) -> None:
        """Take what the end of a lease may touch."""
        self.leases.load(held.lease.lease_id, held.lease)
        self.invocations.load(held.invocation.invocation_id, held.invocation)
        self.load_tasks((held.task, *held.doomed))

    def load_tasks(self, tasks: Iterable[Task]) -> None:
        """Take tasks from the slice."""
        for task in tasks:
            self.tasks.load(task.key, task)

    # ------------------------------------------------------------------------------------ changing
    @property
    def run(self) -> CiRun:
        """The CI run as it is now."""
        return self._run.get(None)

    def put_run(self, run: CiRun) -> None:
        """Change the run."""
        check_move(f"CI run {run.ci_run_id}", self.run.state, run.state, story=self.story)
        self._run.put(None, run)

    def invocation_of(self, value: Task | Lease) -> Invocation:
        """The invocation of a task or lease, as it is now."""
        return self.invocations.get(value.invocation_id)

    def put_invocation(self, invocation: Invocation) -> None:
        """Change an invocation."""
        before = self.invocations.get(invocation.invocation_id)
        check_move(f"Invocation {invocation.invocation_id}", before.state, invocation.state, story=self.story)
        self.invocations.put(invocation.invocation_id, invocation)

    def put_task(self, task: Task) -> None:
        """Change a task."""
        before = self.tasks.get(task.key)
        what = f"Task {task.task_id} of invocation {task.invocation_id}"
        check_move(what, before.state, task.state, story=self.story)
        self.tasks.put(task.key, task)

    def put_lease(self, lease: Lease) -> None:
        """Change a lease."""
        before = self.leases.get(lease.lease_id)
        check_move(f"Lease {lease.lease_id}", before.state, lease.state, story=self.story)
        self.leases.put(lease.lease_id, lease)

    def put_agent(self, agent: Agent) -> None:
        """Change an agent."""
        before = self.agents.get(agent.agent_id)
        check_move(f"Agent {agent.agent_id}", before.state, agent.state, story=self.story)
        self.agents.put(agent.agent_id, agent)

    def add_fact(self, fact: facts.MainJobChanged | facts.RecordAdded | facts.PayloadAdded) -> None:
        """A fact about something that no later step of this decision looks at."""
        self._extra.append(fact)

    def learn(self, fact: facts.CacheEntryAdded | facts.DurationLearned | facts.HashOutcomeLearned) -> None:
        """A fact that outlives the run."""
        self._learned.append(fact)

    # -------------------------------------------------------------------------------------- telling
    @property
    def story(self) -> Iterator[str]:
        """What this decision has led to so far, for errors."""
        return (f"{event.sequence} {event.kind.value}: {event.message}" for event in self._events)

    def tell(
        self,
        kind: EventKind,
        message: str,
        *,
        reason: str | None = None,
        invocation: Invocation | None = None,
        task: Task | None = None,
        lease: Lease | None = None,
        agent: Agent | None = None,
    ) -> Event:
        """Append to history; main's log shows the message."""
        about = task or lease
        sequence = self.run.sequence + 1
        event = Event(
            ci_run_id=self.run.ci_run_id,
            sequence=sequence,
            at=self.now,
            kind=kind,
            message=message,
            reason=reason,
            invocation_id=invocation.invocation_id if invocation else about.invocation_id if about else None,
            task_id=about.task_id if about else None,
            attempt=lease.attempt if lease else task.attempt if task else None,
            agent_id=agent.agent_id if agent else about.agent_id if about else None,
            agent_name=agent.name if agent else task.agent_name if task else None,
            lease_id=lease.lease_id if lease else None,
            result=task.result if task and kind is EventKind.TASK_FINISHED else None,
        )
        self._events.append(event)
        self._run.put(None, replace(self.run, sequence=sequence))
        return event

    def wake_agents(self, agent_id: AgentId | None = None) -> None:
        """Have waiting agents (or one of them) ask again."""
        self.effects.wake(WakeAgents(ci_run_id=self.run.ci_run_id, agent_id=agent_id))

    # -------------------------------------------------------------------------------------- ending
    def decision(self, answer: AnswerT) -> Decision[AnswerT]:
        """All that has changed, in the order in which it can be written."""
        if self._events:
            self.effects.wake(WakeMain(ci_run_id=self.run.ci_run_id))
        return Decision(facts=tuple(self._facts()), effects=tuple(self.effects), answer=answer)

    def _facts(self) -> Iterator[facts.Fact]:
        yield from (facts.RunAdded(run=run) for run in self._run.added())
        yield from (facts.RunChanged(run=run) for run in self._run.changed())
        yield from (facts.InvocationAdded(invocation=value) for value in self.invocations.added())
        yield from self._extra
        yield from (facts.InvocationChanged(invocation=value) for value in self.invocations.changed())
        yield from (facts.TaskAdded(task=task) for task in self.tasks.added())
        yield from (facts.TaskChanged(task=task) for task in self.tasks.changed())
        yield from (facts.AgentAdded(agent=agent) for agent in self.agents.added())
        yield from (facts.AgentChanged(agent=agent) for agent in self.agents.changed())
        # Leases that end come before those that begin: at most one lease of a task is live at any moment.
        yield from (facts.LeaseChanged(lease=lease) for lease in self.leases.changed())
        yield from (facts.LeaseGranted(lease=lease) for lease in self.leases.added())
        yield from self._learned
        yield from (facts.EventAppended(event=event) for event in self._events)

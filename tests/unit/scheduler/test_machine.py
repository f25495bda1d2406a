"""Random histories: whatever happens in whatever order, the invariants hold after every event, and all comes to an end.

`World` checks the invariants; here are the events. In the end the machine lets time pass, and everything must be over.
"""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from nx_dte.coordinator.scheduler.context import Limits
from nx_dte.coordinator.scheduler.errors import CiRunClosedError
from nx_dte.coordinator.scheduler.events import Hit, ReportOutcome, SubmittedTask
from nx_dte.model.agent import LeftReason
from nx_dte.model.ids import AgentId, LeaseId, TaskHash
from nx_dte.model.invocation import CancelReason, InvocationState
from nx_dte.model.run import RunOutcome
from nx_dte.model.task import TaskState
from tests.unit.scheduler.world import World, task

# Seconds of computing; a busy machine makes minutes of them.
pytestmark = pytest.mark.timeout(300)
TARGETS = ("build", "test", "e2e")
FLAKY = [TaskHash(f"hash-of-p{number}:{target}") for number in range(9) for target in ("test", "build")]


@st.composite
def graphs(draw: Callable[[st.SearchStrategy[Any]], Any], *, least: int = 0) -> list[SubmittedTask]:
    """Up to nine tasks, each depending on earlier ones; hits only on hits."""
    tasks: list[SubmittedTask] = []
    for number in range(draw(st.integers(least, 9))):
        earlier = [known.task_id for known in tasks]
        needed = draw(st.lists(st.sampled_from(earlier), max_size=3, unique=True)) if earlier else []
        may_hit = all(known.hit for known in tasks if known.task_id in needed)
        tasks.append(
            task(
                f"p{number}:{draw(st.sampled_from(TARGETS))}",
                *needed,
                is_parallel=draw(st.integers(0, 5)) > 0,
                is_cacheable=draw(st.integers(0, 5)) > 0,
                hit=Hit() if may_hit and draw(st.integers(0, 4)) == 0 else None,
            )
        )
    return tasks


class Scheduler(RuleBasedStateMachine):
    """One pipeline with several agents, commands and mishaps."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(limits=Limits(max_attempts=6))
        self.world.hash_outcomes = {flaky: {True, False} for flaky in FLAKY}
        self.jobs = 0
        self.names = 0

    # -------------------------------------------------------------------------------------- choosing
    def _agent(self, data: st.DataObject) -> AgentId:
        return data.draw(st.sampled_from(sorted(self.world.agents)), label="agent")

    @initialize(
        stop_after=st.lists(st.sampled_from(TARGETS), max_size=2, unique=True),
        on_failure=st.booleans(),
        explicit=st.booleans(),
        tasks=graphs(least=3),
    )
    def first_job(
        self, stop_after: list[str], tasks: list[SubmittedTask], *, on_failure: bool, explicit: bool
    ) -> None:
        self.jobs += 1
        self.world.open(
            f"job-{self.jobs}",
            stop_agents_after=tuple(stop_after),
            stop_agents_on_failure=on_failure,
            require_explicit_completion=explicit,
        )
        # Work from the start: else most histories end before there was any.
        self.world.submit(*tasks, parallel=2)
        for _ in range(2):
            self.join()
        for agent in list(self.world.agents):
            self.world.ask(agent)

    # -------------------------------------------------------------------------------------- main job
    @rule()
    def main_is_retried(self) -> None:
        self.jobs += 1
        self.world.open(f"job-{self.jobs}")

    @rule(
        tasks=graphs(),
        parallel=st.integers(1, 3),
        bail=st.booleans(),
        timeout_s=st.sampled_from([None, None, 20.0]),
    )
    def submit(
        self, tasks: list[SubmittedTask], parallel: int, timeout_s: float | None, *, bail: bool
    ) -> None:
        try:
            self.world.submit(*tasks, parallel=parallel, nx_bail=bail, task_timeout_s=timeout_s)
        except CiRunClosedError:
            assert self.world.run.state != "open"

    @precondition(lambda self: self.world.invocations)
    @rule(data=st.data(), reason=st.sampled_from(CancelReason))
    def cancel(self, data: st.DataObject, reason: CancelReason) -> None:
        chosen = data.draw(st.sampled_from(sorted(self.world.invocations)), label="invocation")
        self.world.cancel(self.world.invocations[chosen], reason)

    @rule(code=st.sampled_from([0, 0, 0, 1]), number=st.integers(0, 50))
    def record(self, code: int, number: int) -> None:
        try:
            self.world.record(code, key=f"record-{number}")
        except CiRunClosedError:
            assert self.world.run.state.is_over

    @rule()
    def ping(self) -> None:
        self.world.ping()

    @rule(number=st.integers(1, 3))
    def main_leaves(self, number: int) -> None:
        self.world.main_left(f"job-{number}")

    @rule()
    def complete(self) -> None:
        self.world.complete()

    # ---------------------------------------------------------------------------------------- agents
    @rule()
    def join(self) -> None:
        self.names += 1
        self.world.ask_to_join(f"agent-{self.names}")

    @rule(number=st.integers(1, 4))
    def join_again(self, number: int) -> None:
        self.world.ask_to_join(f"agent-{number}")

    @precondition(lambda self: self.world.agents)
    @rule(data=st.data(), slots=st.sampled_from([None, None, None, 0, 1, 2]), forgets=st.booleans())
    def claim(self, data: st.DataObject, slots: int | None, *, forgets: bool) -> None:
        self.world.ask(self._agent(data), slots=slots, holding=[] if forgets else None)

    @precondition(lambda self: self.world.agents)
    @rule(data=st.data(), forgets=st.booleans())
    def heartbeat(self, data: st.DataObject, *, forgets: bool) -> None:
        agent = self._agent(data)
        mine = [lease.lease_id for lease in self.world.live_leases() if lease.agent_id == agent]
        self.world.heartbeat(agent, [] if forgets else mine)

    @precondition(lambda self: self.world.live_leases())
    @rule(data=st.data(), end=st.sampled_from(["report", "report", "report", "fail", "not_stored"]))
    def report(self, data: st.DataObject, end: str) -> None:
        lease = data.draw(st.sampled_from(self.world.live_leases()), label="lease")
        assert getattr(self.world, end)(lease).is_accepted

    @precondition(lambda self: self.world.leases)
    @rule(data=st.data(), attempt=st.integers(1, 4), is_made_up=st.booleans())
    def report_something_odd(self, data: st.DataObject, attempt: int, *, is_made_up: bool) -> None:
        """Late, repeated or forged: whoever it comes from and whatever it says."""
        lease = data.draw(st.sampled_from(sorted(self.world.leases.values(), key=lambda one: one.lease_id)))
        by = self._agent(data)
        is_valid = lease.is_live and not is_made_up and (by, attempt) == (lease.agent_id, lease.attempt)
        before = dict(self.world.tasks)
        self.world.report(
            lease,
            by=by,
            attempt=attempt,
            lease_id=LeaseId("made-up") if is_made_up else lease.lease_id,
            outcome=data.draw(st.sampled_from(ReportOutcome)),
        )
        assert is_valid or self.world.tasks == before

    @precondition(lambda self: self.world.agents)
    @rule(data=st.data(), reason=st.sampled_from([LeftReason.INTERRUPTED, LeftReason.MISMATCH]))
    def leave(self, data: st.DataObject, reason: LeftReason) -> None:
        self.world.leave(self._agent(data), reason)

    # ------------------------------------------------------------------------------------------ time
    @rule(seconds=st.sampled_from([1.0, 5.0, 16.0, 31.0, 46.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.passes(seconds)
        self.world.reap()
        self.world.main_silent()

    @rule()
    def coordinator_restarts(self) -> None:
        self.world.restart()

    def teardown(self) -> None:
        """Nothing waits without a deadline."""
        let_all_fall_silent(self.world)
        check_verdicts(self.world)


def let_all_fall_silent(world: World) -> None:
    """Nobody is heard of any more: then everything must come to its end."""
    for _ in range(3):
        world.passes(world.limits.explicit_completion_s)
        world.reap()
        for _attempt in world.runs:
            world.main_silent()
    assert not world.runs or world.run.state.is_over
    newest = world.newest()
    for invocation in world.invocations.values():
        if newest and invocation.ci_run_id == newest.ci_run_id:
            assert invocation.state is not InvocationState.RUNNING
    assert not [agent for agent in world.agents.values() if agent.state.is_live]


def check_verdicts(world: World) -> None:
    """A command succeeds only if each of its tasks did."""
    for key, invocation in world.invocations.items():
        if invocation.outcome is RunOutcome.SUCCEEDED:
            tasks = [value for task_key, value in world.tasks.items() if task_key.invocation_id == key]
            assert all(value.outcome and value.outcome.is_well for value in tasks)
            assert all(value.state is TaskState.FINISHED for value in tasks)


Scheduler.TestCase.settings = settings(
    max_examples=80,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestScheduler = Scheduler.TestCase

"""Random histories with crashes: before an event is durable, or after it but before anybody heard of it.

A request whose answer was lost is sent again, as clients do: at once, or after other things have happened. It must get an
answer like the first and change nothing twice. In between coordinators start anew. Then a healthy agent comes, and all
work that is left must end; and in the end, as nobody is heard of any more, every run.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from nx_dte.coordinator.scheduler import answers, events
from nx_dte.coordinator.scheduler.context import Context, Limits
from nx_dte.coordinator.scheduler.decide import decide
from nx_dte.coordinator.scheduler.errors import CiRunClosedError, SchedulerError
from nx_dte.model.agent import JoinDecision, LeftReason
from nx_dte.model.ids import AgentId, LeaseId
from nx_dte.model.invocation import CancelReason, InvocationState
from nx_dte.model.lease import Lease
from nx_dte.model.run import CiRun, CiRunState
from tests.unit.scheduler.test_machine import FLAKY, check_verdicts, graphs, let_all_fall_silent
from tests.unit.scheduler.world import World

# Seconds of computing; a busy machine makes minutes of them.
pytestmark = pytest.mark.timeout(300)


class Fate(StrEnum):
    """What becomes of a request."""

    ANSWERED = "answered"
    LOST_BEFORE_COMMIT = "lost before commit"
    LOST_AFTER_COMMIT = "lost after commit"


FATES = st.sampled_from(
    [Fate.ANSWERED, Fate.ANSWERED, Fate.LOST_AFTER_COMMIT, Fate.LOST_AFTER_COMMIT, Fate.LOST_BEFORE_COMMIT]
)


MOST_AGENTS = 4
OUTCOMES = st.sampled_from(
    [
        *[events.ReportOutcome.SUCCEEDED] * 3,
        *[events.ReportOutcome.FAILED] * 2,
        events.ReportOutcome.NOT_STORED,
    ]
)


class CoordinatorCrashedError(Exception):
    """The client sees a closed connection."""


@dataclass
class FragileWorld(World):
    """A world whose coordinator dies in the midst of an event when told to."""

    fate: Fate = Fate.ANSWERED
    lost_answer: Any = None
    """What a durable event was to be answered; None when nothing was durable."""

    def happens(self, slice_: Any, event: Any) -> Any:
        fate, self.fate, self.lost_answer = self.fate, Fate.ANSWERED, None
        if fate is Fate.ANSWERED:
            return super().happens(slice_, event)
        try:
            if fate is Fate.LOST_BEFORE_COMMIT:
                decide(slice_, event, Context(now=self.now, new_id=lambda: "lost", limits=self.limits))
            else:
                self.lost_answer = super().happens(slice_, event)
        except SchedulerError:
            pass  # a refusal is lost like any other answer
        # No effect was carried out, and nobody waits at a coordinator that is gone.
        self.done.clear()
        self.parked.clear()
        raise CoordinatorCrashedError


@dataclass
class Request:
    """Something a client sends until it gets an answer."""

    send: Callable[[], Any]
    check: Callable[[Any, Any], None]
    """Compares the answer that was lost with the one that came later."""
    lost_answers: list[Any] = field(default_factory=list)


def _anything(_lost: Any, _later: Any) -> None:
    """Its repetition is an event of its own; the invariants say the rest."""


class Crashes(RuleBasedStateMachine):
    """Clients that repeat what was not answered, and a coordinator that dies now and then."""

    def __init__(self) -> None:
        super().__init__()
        self.world = FragileWorld(limits=Limits(max_attempts=8))
        self.world.hash_outcomes = {flaky: {True, False} for flaky in FLAKY}
        self.unanswered: list[Request] = []
        self.numbers = 0

    def _number(self) -> int:
        self.numbers += 1
        return self.numbers

    def _send(self, request: Request, fate: Fate) -> Any:
        """One try; the answer, or None when it was lost."""
        self.world.fate = fate
        before = self.world.snapshot()
        try:
            answer = request.send()
        except CoordinatorCrashedError:
            assert fate is not Fate.LOST_BEFORE_COMMIT or self.world.snapshot() == before
            if self.world.lost_answer is not None:
                request.lost_answers.append(self.world.lost_answer)
            self.unanswered.append(request)
            return None
        for lost in request.lost_answers:
            request.check(lost, answer)
        return answer

    def _some_agent(self, data: st.DataObject) -> AgentId:
        return data.draw(st.sampled_from(sorted(self.world.agents)), label="agent")

    # -------------------------------------------------------------------------------- the main job
    @initialize(tasks=graphs(least=3), data=st.data())
    def work_begins(self, tasks: list[Any], data: st.DataObject) -> None:
        """Without work and agents there is little to crash."""
        self.another_main_comes(Fate.ANSWERED)
        self.submit(Fate.ANSWERED, tasks, 2, None, bail=False)
        for _ in range(2):
            self.join(Fate.ANSWERED)
        for _ in self.world.agents:
            self.claim(Fate.ANSWERED, data, None)

    @rule(
        fate=FATES,
        data=st.data(),
        what=st.sampled_from(["another_main_comes", "cancel", "main_ends", "leave", "record", "restart"]),
    )
    def mishap(self, fate: Fate, data: st.DataObject, what: str) -> None:
        """One rule for all that ends work: each alone would end it before much has happened."""
        if what == "another_main_comes":
            self.another_main_comes(fate)
        elif what == "cancel" and self.world.invocations:
            self.cancel(fate, data, data.draw(st.sampled_from(CancelReason)))
        elif what == "main_ends":
            self.main_ends(fate, data.draw(st.integers(1, 10)))
        elif what == "leave" and self.world.agents:
            self.leave(fate, data, data.draw(st.sampled_from([LeftReason.INTERRUPTED, LeftReason.MISMATCH])))
        elif what == "record":
            self.record(fate, data.draw(st.sampled_from([0, 1])))
        else:
            self.world.restart()

    def another_main_comes(self, fate: Fate) -> None:
        job_id = f"job-{self._number()}"

        def send() -> Any:
            try:
                return self.world.open(job_id)
            except CiRunClosedError:
                return None

        def check(lost: answers.RunAnswer, later: CiRun | None) -> None:
            if later is None or later.ci_run_id != lost.run.ci_run_id:
                assert self.world.runs[lost.run.ci_run_id].state is not CiRunState.OPEN

        self._send(Request(send=send, check=check), fate)

    @rule(
        fate=FATES,
        tasks=graphs(),
        parallel=st.integers(1, 3),
        bail=st.booleans(),
        timeout_s=st.sampled_from([None, None, 20.0]),
    )
    def submit(
        self, fate: Fate, tasks: list[Any], parallel: int, timeout_s: float | None, *, bail: bool
    ) -> None:
        run, key = self.world.run, f"key-{self._number()}"

        def send() -> Any:
            try:
                return self.world.submit(
                    *tasks,
                    run=run,
                    invocation_key=key,
                    parallel=parallel,
                    nx_bail=bail,
                    task_timeout_s=timeout_s,
                )
            except CiRunClosedError:
                return None

        def check(lost: answers.InvocationAnswer, later: Any) -> None:
            assert later is not None, "it was taken in"
            assert later.invocation_id == lost.invocation.invocation_id
            assert later.submitted_sequence == lost.sequence

        self._send(Request(send=send, check=check), fate)

    def record(self, fate: Fate, code: int) -> None:
        run, key = self.world.run, f"record-{self._number()}"

        def send() -> Any:
            try:
                return self.world.record(code, key=key, run=self.world.runs[run.ci_run_id])
            except CiRunClosedError:
                return None

        def check(lost: answers.RecordAnswer, later: str | None) -> None:
            assert later == lost.record_id

        self._send(Request(send=send, check=check), fate)

    def cancel(self, fate: Fate, data: st.DataObject, reason: CancelReason) -> None:
        chosen = self.world.invocations[data.draw(st.sampled_from(sorted(self.world.invocations)))]

        def check(lost: answers.InvocationAnswer, later: Any) -> None:
            assert later.state is lost.invocation.state is not InvocationState.RUNNING

        self._send(Request(send=lambda: self.world.cancel(chosen, reason), check=check), fate)

    def main_ends(self, fate: Fate, number: int) -> None:
        run, job_id = self.world.run, f"job-{number}"
        send = (lambda: self.world.main_left(job_id, run)) if number % 2 else lambda: self.world.complete(run)

        def check(lost: answers.RunAnswer, later: CiRun) -> None:
            assert later.ci_run_id == lost.run.ci_run_id
            if lost.run.state.is_over:
                assert (later.state, later.outcome, later.reason) == (
                    lost.run.state,
                    lost.run.outcome,
                    lost.run.reason,
                )

        self._send(Request(send=send, check=check), fate)

    # -------------------------------------------------------------------------------------- agents
    @precondition(lambda self: sum(agent.state.is_live for agent in self.world.agents.values()) < MOST_AGENTS)
    @rule(fate=FATES)
    def join(self, fate: Fate) -> None:
        name = f"agent-{self._number()}"

        def check(lost: answers.JoinAnswer, later: answers.JoinAnswer) -> None:
            if lost.agent is not None and later.decision is JoinDecision.JOINED:
                assert later.agent is not None
                is_same_run = later.agent.ci_run_id == lost.agent.ci_run_id
                assert is_same_run == (later.agent.agent_id == lost.agent.agent_id)

        self._send(Request(send=lambda: self.world.ask_to_join(name), check=check), fate)

    @precondition(lambda self: self.world.agents)
    @rule(fate=FATES, data=st.data(), slots=st.sampled_from([None, None, 1, 2]))
    def claim(self, fate: Fate, data: st.DataObject, slots: int | None) -> None:
        agent = self._some_agent(data)
        known = frozenset(lease.lease_id for lease in self.world.live_leases() if lease.agent_id == agent)
        self._claim(fate, agent, slots, known)

    def _claim(self, fate: Fate, agent: AgentId, slots: int | None, known: frozenset[LeaseId]) -> None:
        def check(lost: answers.ClaimAnswer, later: answers.ClaimAnswer) -> None:
            mine = {grant.lease.lease_id for grant in lost.grants}
            assert not mine & {grant.lease.lease_id for grant in later.grants}, "a lease is granted once"

        send = lambda: self.world.ask(agent, slots=slots, holding=known)  # noqa: E731 - as below
        self._send(Request(send=send, check=check), fate)

    @precondition(lambda self: self.world.agents)
    @rule(fate=FATES, data=st.data())
    def heartbeat(self, fate: Fate, data: st.DataObject) -> None:
        agent = self._some_agent(data)
        mine = [lease.lease_id for lease in self.world.leases.values() if lease.agent_id == agent]

        def check(lost: answers.HeartbeatAnswer, later: answers.HeartbeatAnswer) -> None:
            assert set(lost.revoked) <= set(later.revoked)

        self._send(Request(send=lambda: self.world.heartbeat(agent, mine), check=check), fate)

    @precondition(lambda self: self.world.live_leases())
    @rule(data=st.data(), fate=FATES, outcome=OUTCOMES)
    def agent_works(self, data: st.DataObject, fate: Fate, outcome: events.ReportOutcome) -> None:
        """It reports one task, and asks for more."""
        lease = data.draw(st.sampled_from(self.world.live_leases()), label="lease")
        self._report(fate, lease, outcome)
        agent, slots = lease.agent_id, None
        holding = frozenset(one.lease_id for one in self.world.live_leases() if one.agent_id == agent)
        self._claim(data.draw(FATES), agent, slots, holding)

    @precondition(lambda self: self.world.leases)
    @rule(fate=FATES, data=st.data(), outcome=st.sampled_from(events.ReportOutcome))
    def late_report(self, fate: Fate, data: st.DataObject, outcome: events.ReportOutcome) -> None:
        self._report(fate, data.draw(st.sampled_from(list(self.world.leases.values()))), outcome)

    def _report(self, fate: Fate, lease: Lease, outcome: events.ReportOutcome) -> None:
        code, at = int(outcome is events.ReportOutcome.FAILED), self.world.now

        def send() -> answers.ReportAnswer:
            return self.world.report(lease, outcome=outcome, code=code, started_at=at, ended_at=at)

        request = Request(send=send, check=self._same_report)
        is_live = self.world.leases[lease.lease_id].is_live
        before = (dict(self.world.tasks), dict(self.world.leases))
        self._send(request, fate)
        if not is_live:
            assert (self.world.tasks, self.world.leases) == before, "only a live lease may report"

    @staticmethod
    def _same_report(lost: answers.ReportAnswer, later: answers.ReportAnswer) -> None:
        assert (later.is_accepted, later.refusal) == (lost.is_accepted, lost.refusal)

    def leave(self, fate: Fate, data: st.DataObject, reason: LeftReason) -> None:
        agent = self._some_agent(data)
        self._send(Request(send=lambda: self.world.leave(agent, reason), check=_anything), fate)

    # ------------------------------------------------------------------------------------ repeating
    @precondition(lambda self: self.unanswered)
    @rule(fate=FATES, data=st.data())
    def repeat(self, fate: Fate, data: st.DataObject) -> None:
        """Some client tries again; what was durable already changes nothing a second time."""
        request = self.unanswered.pop(data.draw(st.integers(0, len(self.unanswered) - 1)))
        is_report = bool(request.lost_answers) and isinstance(request.lost_answers[0], answers.ReportAnswer)
        before = (dict(self.world.tasks), dict(self.world.leases), dict(self.world.durations))
        self._send(request, fate)
        if is_report:
            assert (self.world.tasks, self.world.leases, self.world.durations) == before

    @rule(
        seconds=st.sampled_from([1.0, 5.0, 16.0, 31.0]),
        fate=FATES,
        silent=st.sampled_from([False, False, True]),
    )
    def time_passes(self, seconds: float, fate: Fate, *, silent: bool) -> None:
        """The reaper is no client: what it lost, it finds again in its next round."""
        self.world.passes(seconds)
        if not silent:
            self.world.ping()
        self.world.fate = fate
        try:
            self.world.reap()
            self.world.main_silent()
        except CoordinatorCrashedError:
            self.world.restart()
        self.world.fate = Fate.ANSWERED

    # --------------------------------------------------------------------------------------- always
    @invariant()
    def nothing_is_doubled(self) -> None:
        world = self.world
        for keys in (
            [(one.ci_run_id, one.invocation_key) for one in world.invocations.values()],
            [(one.ci_run_id, one.agent_key) for one in world.agents.values()],
            [(one.ci_id, one.environment, one.attempt) for one in world.runs.values()],
            [(one.ci_run_id, one.record_key) for one in world.records.values()],
            [(one.invocation_id, one.task_id, one.attempt) for one in world.leases.values()],
        ):
            assert not [key for key, count in Counter(keys).items() if count > 1]

    def teardown(self) -> None:
        self.world.fate = Fate.ANSWERED
        if self.world.runs:
            self._a_healthy_agent_ends_the_work()
            let_all_fall_silent(self.world)
            check_verdicts(self.world)

    def _a_healthy_agent_ends_the_work(self) -> None:
        world = self.world
        world.restart()  # main is back as well
        world.passes(world.limits.lease_s)
        world.reap()
        run = world.run
        if world.ask_to_join("healthy").decision is JoinDecision.JOINED:
            world.work_off([world.join("healthy")])
            assert not world.running(run.ci_run_id)


Crashes.TestCase.settings = settings(
    max_examples=100,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestCrashes = Crashes.TestCase

"""The scheduler's one door: from a slice and an event to a decision."""

from collections.abc import Callable, Mapping
from typing import Any, overload

from nx_dte.coordinator.scheduler import answers, events, state
from nx_dte.coordinator.scheduler.answers import Answer, Decision
from nx_dte.coordinator.scheduler.context import Context
from nx_dte.coordinator.scheduler.errors import InvalidTransitionError
from nx_dte.coordinator.scheduler.transitions import agent, deadline, invocation, join, main_job, report

_TABLE: Mapping[
    tuple[type[state.Slice], type[events.Event]], Callable[[Any, Any, Context], Decision[Any]]
] = {
    (state.OpenSlice, events.RunOpened): main_job.open_run,
    (state.RunSlice, events.MainPinged): main_job.ping,
    (state.EndSlice, events.MainLeft): main_job.leave,
    (state.EndSlice, events.MainFellSilent): main_job.fall_silent,
    (state.EndSlice, events.RunCompleted): main_job.complete,
    (state.RecordSlice, events.RecordReported): main_job.record,
    (state.SubmitSlice, events.InvocationSubmitted): invocation.submit,
    (state.CancelSlice, events.InvocationCancelled): invocation.cancel,
    (state.JoinSlice, events.AgentJoined): join.join,
    (state.ClaimSlice, events.TasksClaimed): agent.claim,
    (state.HeartbeatSlice, events.AgentHeartbeat): agent.heartbeat,
    (state.ReportSlice, events.TaskReported): report.report,
    (state.ReapSlice, events.LeaseExpired): deadline.expire,
    (state.ReapSlice, events.TaskTimedOut): deadline.time_out,
    (state.ReapSlice, events.TaskRanLong): deadline.note_slow,
    (state.GoneSlice, events.AgentLeft): agent.leave,
    (state.GoneSlice, events.AgentFellSilent): agent.fall_silent,
}
"""What each event does, and the slice it needs; how it depends on states stands in the transition."""

_RunEvent = events.MainLeft | events.MainFellSilent | events.RunCompleted
_DeadlineEvent = events.LeaseExpired | events.TaskTimedOut | events.TaskRanLong
_GoneEvent = events.AgentLeft | events.AgentFellSilent


@overload
def decide(
    slice_: state.OpenSlice, event: events.RunOpened, context: Context
) -> Decision[answers.RunAnswer]: ...
@overload
def decide(
    slice_: state.RunSlice, event: events.MainPinged, context: Context
) -> Decision[answers.RunAnswer]: ...
@overload
def decide(slice_: state.EndSlice, event: _RunEvent, context: Context) -> Decision[answers.RunAnswer]: ...
@overload
def decide(
    slice_: state.RecordSlice, event: events.RecordReported, context: Context
) -> Decision[answers.RecordAnswer]: ...
@overload
def decide(
    slice_: state.SubmitSlice, event: events.InvocationSubmitted, context: Context
) -> Decision[answers.InvocationAnswer]: ...
@overload
def decide(
    slice_: state.CancelSlice, event: events.InvocationCancelled, context: Context
) -> Decision[answers.InvocationAnswer]: ...
@overload
def decide(
    slice_: state.JoinSlice, event: events.AgentJoined, context: Context
) -> Decision[answers.JoinAnswer]: ...
@overload
def decide(
    slice_: state.ClaimSlice, event: events.TasksClaimed, context: Context
) -> Decision[answers.ClaimAnswer]: ...
@overload
def decide(
    slice_: state.HeartbeatSlice, event: events.AgentHeartbeat, context: Context
) -> Decision[answers.HeartbeatAnswer]: ...
@overload
def decide(
    slice_: state.ReportSlice, event: events.TaskReported, context: Context
) -> Decision[answers.ReportAnswer]: ...
@overload
def decide(
    slice_: state.ReapSlice, event: _DeadlineEvent, context: Context
) -> Decision[answers.NothingToSay]: ...
@overload
def decide(
    slice_: state.GoneSlice, event: _GoneEvent, context: Context
) -> Decision[answers.NothingToSay]: ...
def decide(slice_: state.Slice, event: events.Event, context: Context) -> Decision[Answer]:
    """Decide on one event; the same arguments always give the same decision."""
    transition = _TABLE.get((type(slice_), type(event)))
    if transition is None:
        raise InvalidTransitionError(
            f"{type(event).__name__} cannot be decided on a {type(slice_).__name__}."
        )
    return transition(slice_, event, context)

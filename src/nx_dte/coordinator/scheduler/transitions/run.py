"""The CI run: opened, pinged, stopped, ended; and the commands whose failure may stop it."""

from dataclasses import replace

from nx_dte.coordinator.scheduler.draft import Draft
from nx_dte.coordinator.scheduler.effects import Counter, Histogram
from nx_dte.model.event import EventKind
from nx_dte.model.run import CiRunState, RunOutcome, RunReason

_WHY_STOPPING = {
    RunReason.STOP_AGENTS_AFTER: "every target of stop-agents-after has finished",
    RunReason.COMMAND_FAILED: "a command failed",
    RunReason.COMPLETED: "completion was asked for",
    RunReason.MAIN_LEFT: "the main job ended",
    RunReason.MAIN_SILENT: "the main job fell silent",
    RunReason.TAKEN_OVER: "a main job with a read-write token has opened a run of this CI id",
}
_END_EVENTS = {
    CiRunState.FINISHED: EventKind.CI_RUN_FINISHED,
    CiRunState.ABANDONED: EventKind.CI_RUN_ABANDONED,
}


def see_main(draft: Draft) -> None:
    """The main job lives. Written only when the last time is old enough to matter."""
    run = draft.run
    age_s = (draft.now - run.main_seen_at).total_seconds()
    if not run.state.is_over and age_s >= draft.context.limits.heartbeat_s / 2:
        draft.put_run(replace(run, main_seen_at=draft.now))


def stop(draft: Draft, reason: RunReason) -> None:
    """No more work is to come; agents leave as they become idle."""
    if draft.run.state is not CiRunState.OPEN:
        return
    draft.put_run(replace(draft.run, state=CiRunState.STOPPING, reason=reason))
    message = f"No more work is to come, because {_WHY_STOPPING[reason]}; agents leave as they become idle."
    draft.tell(EventKind.CI_RUN_STOPPING, message, reason=reason.value)
    draft.wake_agents()


def end(draft: Draft, state: CiRunState, reason: RunReason) -> None:
    """The run is over; nothing in it changes any more but agents going away."""
    run = draft.run
    is_failed = run.is_failed or state is CiRunState.ABANDONED
    outcome = RunOutcome.FAILED if is_failed else RunOutcome.SUCCEEDED
    draft.put_run(
        replace(run, state=state, outcome=outcome, reason=reason, is_failed=is_failed, ended_at=draft.now)
    )
    message = f"The CI run is {state.value} ({outcome.value}), because {_WHY_STOPPING[reason]}."
    draft.tell(_END_EVENTS[state], message, reason=reason.value)
    draft.effects.count(Counter.CI_RUNS, outcome=outcome.value)
    duration_s = (draft.now - run.created_at).total_seconds()
    draft.effects.observe(Histogram.CI_RUN_DURATION, duration_s, outcome=outcome.value)
    draft.wake_agents()


def command_ended(draft: Draft, *, is_failed: bool) -> None:
    """A command, recorded or distributed, has ended: the stop rules and a pending completion apply."""
    if is_failed:
        draft.put_run(replace(draft.run, is_failed=True))
        if draft.run.stop_agents_on_failure:
            stop(draft, RunReason.COMMAND_FAILED)
    run = draft.run
    listed = set(run.stop_agents_after)
    if listed and listed.issubset(run.stop_targets_finished):
        stop(draft, RunReason.STOP_AGENTS_AFTER)
    if draft.run.is_completed and draft.run.running_invocations == 0 and not draft.run.state.is_over:
        end(draft, CiRunState.FINISHED, RunReason.COMPLETED)
    if draft.run.state is CiRunState.STOPPING:
        # The last command of a stopping run releases those who waited for its tasks.
        draft.wake_agents()

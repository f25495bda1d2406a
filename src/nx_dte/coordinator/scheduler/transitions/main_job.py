"""The main job: opens the run, pings, records commands, completes, leaves or falls silent."""

from dataclasses import replace
from datetime import timedelta

from nx_dte.coordinator.scheduler import events, facts
from nx_dte.coordinator.scheduler.answers import Decision, RecordAnswer, RunAnswer
from nx_dte.coordinator.scheduler.context import Context
from nx_dte.coordinator.scheduler.draft import Draft
from nx_dte.coordinator.scheduler.errors import CiRunClosedError, TokenAccessDiffersError
from nx_dte.coordinator.scheduler.state import EndSlice, OpenSlice, RecordSlice, RunSlice
from nx_dte.coordinator.scheduler.transitions import invocation as invocations
from nx_dte.coordinator.scheduler.transitions import run as runs
from nx_dte.model.access import TokenAccess
from nx_dte.model.event import EventKind
from nx_dte.model.ids import CiRunId, RecordId
from nx_dte.model.invocation import CancelReason
from nx_dte.model.record import Record
from nx_dte.model.run import CiRun, CiRunState, MainJob, RunReason


# ------------------------------------------------------------------------------------------- opening
def open_run(slice_: OpenSlice, event: events.RunOpened, context: Context) -> Decision[RunAnswer]:
    """Find the open run of the pipeline, or open one; only a job never seen before opens another attempt."""
    newest = slice_.newest
    if newest is not None and newest.token_access is not event.token_access:
        return _open_beside(newest, slice_, event, context)
    if newest is not None and newest.state is CiRunState.OPEN:
        draft = Draft(context, newest)
        runs.see_main(draft)
        _join(draft, event, is_new=not slice_.is_job_seen)
        return draft.decision(RunAnswer(run=draft.run))
    if newest is not None and slice_.is_job_seen:
        raise _closed(newest, event)
    return _open_new(newest, event, context)


def _open_beside(
    newest: CiRun, slice_: OpenSlice, event: events.RunOpened, context: Context
) -> Decision[RunAnswer]:
    """Ids of pipelines can be guessed. An untrusted job gets no part in a trusted run, and cannot be in its way."""
    if event.token_access is TokenAccess.READ_ONLY:
        raise TokenAccessDiffersError(newest, event.token_access)
    if slice_.is_job_seen:
        raise _closed(newest, event)
    opened = _open_new(newest, event, context)
    if newest.state.is_over:
        return opened
    ending = Draft(context, newest)
    for work in slice_.untrusted_work:
        invocations.cancel_work(ending, work, CancelReason.MAIN_LEFT)
    runs.end(ending, CiRunState.ABANDONED, RunReason.TAKEN_OVER)
    ended = ending.decision(opened.answer)
    # The end first: of one key only one run may be open.
    return replace(opened, facts=(*ended.facts, *opened.facts), effects=(*ended.effects, *opened.effects))


def _open_new(newest: CiRun | None, event: events.RunOpened, context: Context) -> Decision[RunAnswer]:
    draft = Draft(context, _new_run(event, context, attempt=newest.attempt + 1 if newest else 1), is_new=True)
    message = f"CI run of CI id {event.ci_id} opened, attempt {draft.run.attempt}."
    draft.tell(EventKind.CI_RUN_OPENED, message)
    _join(draft, event, is_new=True)
    draft.wake_agents()
    return draft.decision(RunAnswer(run=draft.run))


def _closed(newest: CiRun, event: events.RunOpened) -> CiRunClosedError:
    return CiRunClosedError(
        f"CI run {newest.ci_run_id} (CI id {event.ci_id}, attempt {newest.attempt}) is {newest.state.value}, "
        f"and job {event.job_id} has taken part in it already."
    )


def _new_run(event: events.RunOpened, context: Context, *, attempt: int) -> CiRun:
    return CiRun(
        ci_run_id=CiRunId(context.new_id()),
        workspace_id=event.workspace_id,
        ci_id=event.ci_id,
        environment=event.environment,
        attempt=attempt,
        token_access=event.token_access,
        job_id=event.job_id,
        branch=event.branch,
        commit=event.commit,
        nx_version=event.nx_version,
        distribute_on=event.distribute_on,
        distribute_by_default=event.distribute_by_default,
        stop_agents_after=event.stop_agents_after,
        stop_agents_on_failure=event.stop_agents_on_failure,
        require_explicit_completion=event.require_explicit_completion,
        created_at=context.now,
        main_seen_at=context.now,
    )


def _join(draft: Draft, event: events.RunOpened, *, is_new: bool) -> None:
    main_job = MainJob(ci_run_id=draft.run.ci_run_id, job_id=event.job_id, joined_at=draft.now)
    draft.add_fact(facts.MainJobChanged(main_job=main_job))
    if is_new:
        draft.tell(EventKind.MAIN_JOINED, f"Job {event.job_id} is a main job of the CI run.")


def ping(slice_: RunSlice, _event: events.MainPinged, context: Context) -> Decision[RunAnswer]:
    """A sign of life."""
    draft = Draft(context, slice_.run)
    runs.see_main(draft)
    return draft.decision(RunAnswer(run=draft.run))


def record(slice_: RecordSlice, event: events.RecordReported, context: Context) -> Decision[RecordAnswer]:
    """Keep what a recorded command did; a failing one is a failed command like any other."""
    draft = Draft(context, slice_.run)
    if slice_.existing is not None:
        return draft.decision(RecordAnswer(record_id=slice_.existing.record_id))
    if slice_.run.state.is_over:
        raise CiRunClosedError(
            f"CI run {slice_.run.ci_run_id} is {slice_.run.state.value}: `{event.command}` cannot be recorded in it."
        )
    runs.see_main(draft)
    added = Record(
        record_id=RecordId(context.new_id()),
        ci_run_id=slice_.run.ci_run_id,
        record_key=event.record_key,
        command=event.command,
        code=event.code,
        terminal_output=event.terminal_output,
        started_at=event.started_at,
        ended_at=event.ended_at,
    )
    draft.add_fact(facts.RecordAdded(record=added))
    draft.tell(EventKind.RECORD_ADDED, f"`{event.command}` was recorded; its exit code is {event.code}.")
    runs.command_ended(draft, is_failed=event.code != 0)
    return draft.decision(RecordAnswer(record_id=added.record_id))


# -------------------------------------------------------------------------------------------- ending
def complete(slice_: EndSlice, _event: events.RunCompleted, context: Context) -> Decision[RunAnswer]:
    """No command is to come. Those still running end first."""
    draft = Draft(context, slice_.run)
    if not draft.run.state.is_over:
        draft.put_run(replace(draft.run, is_completed=True, main_seen_at=draft.now))
        if draft.run.running_invocations == 0:
            runs.end(draft, CiRunState.FINISHED, RunReason.COMPLETED)
        else:
            runs.stop(draft, RunReason.COMPLETED)
    return draft.decision(RunAnswer(run=draft.run))


def leave(slice_: EndSlice, event: events.MainLeft, context: Context) -> Decision[RunAnswer]:
    """A main job's shell ended. While another main job is there, the run goes on."""
    draft = Draft(context, slice_.run)
    run = slice_.run
    if run.state.is_over:
        return draft.decision(RunAnswer(run=run))
    mine = next((job for job in slice_.main_jobs if job.job_id == event.job_id), None)
    others = [job for job in slice_.main_jobs if job.left_at is None and job.job_id != event.job_id]
    if mine is not None and mine.left_at is None:
        draft.add_fact(facts.MainJobChanged(main_job=replace(mine, left_at=draft.now)))
    note = f" ({event.note})" if event.note else ""
    draft.tell(EventKind.MAIN_LEFT, f"Main job {event.job_id} has ended{note}.")
    waits_for_completion = run.require_explicit_completion and run.running_invocations == 0
    if not (mine is not None and others) and not waits_for_completion:
        _end_without_main(draft, slice_, RunReason.MAIN_LEFT, CancelReason.MAIN_LEFT)
    return draft.decision(RunAnswer(run=draft.run))


def fall_silent(slice_: EndSlice, _event: events.MainFellSilent, context: Context) -> Decision[RunAnswer]:
    """The deadline passed. It is looked at again: a ping may have come in between."""
    draft = Draft(context, slice_.run)
    if not slice_.run.state.is_over and main_deadline_passed(slice_.run, context):
        _end_without_main(draft, slice_, RunReason.MAIN_SILENT, CancelReason.MAIN_SILENT)
    return draft.decision(RunAnswer(run=draft.run))


def main_deadline_passed(run: CiRun, context: Context) -> bool:
    """Whether the main job has been silent for too long."""
    waits_for_completion = run.require_explicit_completion and run.running_invocations == 0
    limits = context.limits
    silence_s = limits.explicit_completion_s if waits_for_completion else limits.main_silence_s
    return context.now >= run.main_seen_at + timedelta(seconds=silence_s)


def _end_without_main(draft: Draft, slice_: EndSlice, reason: RunReason, cancel_reason: CancelReason) -> None:
    if draft.run.running_invocations == 0:
        runs.end(draft, CiRunState.FINISHED, reason)
        return
    for work in slice_.work:
        invocations.cancel_work(draft, work, cancel_reason)
    runs.end(draft, CiRunState.ABANDONED, reason)

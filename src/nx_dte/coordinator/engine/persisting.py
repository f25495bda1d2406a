"""Writes a decision's facts, in their order; neighbours of one kind go in one statement."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, assert_never

from nx_dte.coordinator.scheduler import facts

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from nx_dte.coordinator.scheduler.facts import Fact
    from nx_dte.coordinator.store.base import Session


def persist(session: Session, decided: Sequence[Fact], now: datetime) -> None:
    """Write them all."""
    for _, group in groupby(decided, key=type):
        _write_group(session, list(group), now)


def _write_group(session: Session, group: list[Fact], now: datetime) -> None:
    first = group[0]
    if isinstance(first, facts.TaskAdded):
        session.insert_tasks([fact.task for fact in group if isinstance(fact, facts.TaskAdded)])
    elif isinstance(first, facts.TaskChanged):
        session.update_tasks([fact.task for fact in group if isinstance(fact, facts.TaskChanged)])
    elif isinstance(first, facts.LeaseGranted):
        session.insert_leases([fact.lease for fact in group if isinstance(fact, facts.LeaseGranted)])
    elif isinstance(first, facts.LeaseChanged):
        session.update_leases([fact.lease for fact in group if isinstance(fact, facts.LeaseChanged)])
    elif isinstance(first, facts.EventAppended):
        session.append_events([fact.event for fact in group if isinstance(fact, facts.EventAppended)])
    else:
        for fact in group:
            _write_one(session, fact, now)


def _write_one(session: Session, fact: Fact, now: datetime) -> None:  # noqa: C901, PLR0912 - one case a fact
    match fact:
        case facts.RunAdded(run=run):
            session.insert_run(run)
        case facts.RunChanged(run=run):
            session.update_run(run)
        case facts.MainJobChanged(main_job=main_job):
            session.upsert_main_job(main_job)
        case facts.RecordAdded(record=record):
            session.insert_record(record)
        case facts.InvocationAdded(invocation=invocation):
            session.insert_invocation(invocation)
        case facts.InvocationChanged(invocation=invocation):
            session.update_invocation(invocation)
        case facts.PayloadAdded(invocation_id=invocation_id, payload=payload):
            session.insert_payload(invocation_id, payload)
        case facts.AgentAdded(agent=agent):
            session.insert_agent(agent)
        case facts.AgentChanged(agent=agent):
            session.update_agent(agent)
        case facts.CacheEntryAdded(entry=entry):
            session.insert_cache_entries([entry])
        case facts.DurationLearned(workspace_id=workspace_id, key=key, duration_s=duration_s):
            session.learn_durations([(workspace_id, key, duration_s)], now)
        case facts.HashOutcomeLearned(workspace_id=workspace_id, task_hash=task_hash, is_success=is_success):
            session.learn_hash_outcomes([(workspace_id, task_hash, is_success)], now)
        case (
            facts.TaskAdded()
            | facts.TaskChanged()
            | facts.LeaseGranted()
            | facts.LeaseChanged()
            | facts.EventAppended()
        ):
            raise AssertionError("written in groups")
        case _:
            assert_never(fact)

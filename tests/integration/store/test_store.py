"""The store's contract, kept by both databases."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from nx_dte.coordinator.store.errors import ConflictError, StoreClosedError
from nx_dte.coordinator.store.sql.store import SqlStore
from nx_dte.errors import ConfigurationError
from nx_dte.model.ids import TaskId
from nx_dte.model.task import TaskOutcome, TaskState
from tests.integration.store.rows import INVOCATION, NOW, RUN, a_run, a_task, filled

if TYPE_CHECKING:
    from nx_dte.coordinator.store.base import Reads, Session


async def test_values_come_back_as_they_went_in(store: SqlStore) -> None:
    await store.write(filled)

    assert await store.read(lambda session: session.run(RUN.ci_run_id)) == RUN
    assert await store.read(lambda session: session.invocation(INVOCATION.invocation_id)) == INVOCATION
    assert await store.read(lambda session: session.tasks_of_run(RUN.ci_run_id)) == (
        a_task("a"),
        a_task("b", "a"),
        a_task("c", "b"),
    )


async def test_questions_see_what_the_same_transaction_has_gathered(store: SqlStore) -> None:
    await store.write(filled)

    def work(session: Session) -> tuple[list[str], list[str], int]:
        done = a_task("a", state=TaskState.FINISHED, outcome=TaskOutcome.SUCCEEDED, ended_at=NOW)
        ready = a_task("b", "a", state=TaskState.READY, unfinished_dependencies=0)
        session.update_tasks([done, ready])
        dependents = session.dependents(INVOCATION.invocation_id, TaskId("a"))
        unfinished = session.unfinished_tasks(INVOCATION.invocation_id)
        session.update_run(replace(RUN, sequence=7))
        run = session.lock_run(RUN.ci_run_id)
        assert run is not None
        return [task.state for task in dependents], [task.task_id for task in unfinished], run.sequence

    assert await store.write(work) == (["ready"], ["b", "c"], 7)


async def test_a_finished_task_is_never_overwritten(store: SqlStore) -> None:
    await store.write(filled)
    done = a_task("a", state=TaskState.FINISHED, outcome=TaskOutcome.SUCCEEDED, ended_at=NOW)
    await store.write(lambda session: session.update_tasks([done]))

    with pytest.raises(ConflictError):
        await store.write(lambda session: session.update_tasks([replace(done, outcome=TaskOutcome.FAILED)]))


async def test_an_older_attempt_never_overwrites_a_newer_one(store: SqlStore) -> None:
    await store.write(filled)
    await store.write(lambda session: session.update_tasks([a_task("a", attempt=2)]))

    with pytest.raises(ConflictError):
        await store.write(lambda session: session.update_tasks([a_task("a", attempt=1)]))


async def test_the_closure_is_everything_that_depends_on_a_task(store: SqlStore) -> None:
    await store.write(filled)

    closure = await store.read(
        lambda session: session.unfinished_closure(INVOCATION.invocation_id, TaskId("a"))
    )

    assert [task.task_id for task in closure] == ["b", "c"]


async def test_a_closed_store_says_so(store: SqlStore) -> None:
    store.close()

    with pytest.raises(StoreClosedError):
        await store.write(filled)
    with pytest.raises(StoreClosedError):
        await store.read(lambda session: session.tokens())


@pytest.mark.parametrize("url", ["nonsense", "mysql://host/name", "sqlite://", "sqlite:///:memory:"])
def test_a_database_that_cannot_be_used_is_a_configuration_error(url: str) -> None:
    with pytest.raises(ConfigurationError, match="database_url"):
        SqlStore(url)


async def test_a_read_is_one_snapshot(store: SqlStore) -> None:
    """Whoever reads twice in one read sees the same, whatever is committed meanwhile."""
    await store.write(filled)
    has_read, has_written = threading.Event(), threading.Event()

    def twice(reads: Reads) -> list[int]:
        first = reads.run(RUN.ci_run_id)
        has_read.set()
        assert has_written.wait(10)
        second = reads.run(RUN.ci_run_id)
        assert first is not None
        assert second is not None
        return [first.sequence, second.sequence, len(reads.live_runs())]

    reading = asyncio.ensure_future(store.read(twice))
    await asyncio.to_thread(has_read.wait, 10)
    await store.write(lambda session: session.update_run(replace(RUN, sequence=7)))
    await store.write(lambda session: session.insert_run(a_run("another")))
    has_written.set()

    assert await reading == [0, 0, 1]
    assert len(await store.read(lambda reads: reads.live_runs())) == 2


async def test_who_locks_a_run_waits_for_who_holds_it(store: SqlStore) -> None:
    """And then sees what that one wrote: no change is lost, however many come at once."""
    await store.write(filled)

    def count_up(session: Session) -> None:
        run = session.lock_run(RUN.ci_run_id)
        assert run is not None
        session.update_run(replace(run, sequence=run.sequence + 1))

    await asyncio.gather(*(store.write(count_up) for _ in range(40)))

    run = await store.read(lambda reads: reads.run(RUN.ci_run_id))
    assert run is not None
    assert run.sequence == 40


async def test_text_that_a_program_printed_can_be_kept(store: SqlStore) -> None:
    """PostgreSQL's text knows no NUL; it must not make a report fail."""
    await store.write(filled)
    printed = "é\U0001f600 'quoted' \\ and %s \x1b[0m"

    def work(session: Session) -> None:
        done = a_task(
            "a", state=TaskState.FINISHED, outcome=TaskOutcome.FAILED, ended_at=NOW, nx_status=f"{printed}\0!"
        )
        session.update_tasks([done])

    await store.write(work)

    task = await store.read(lambda reads: reads.task(INVOCATION.invocation_id, TaskId("a")))
    assert task is not None
    assert task.nx_status in {f"{printed}\0!", f"{printed}\ufffd!"}
    assert await store.read(lambda reads: reads.task(INVOCATION.invocation_id, TaskId("\0"))) is None

"""The store itself: what shares a transaction does not share its faults."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.sql import ClauseElement

from nx_dte.coordinator.store.errors import ConflictError, StoreClosedError
from nx_dte.coordinator.store.sql import reads, tables, task_reads, writes
from nx_dte.coordinator.store.sql.store import SqlStore
from nx_dte.coordinator.store.sql.upserts import upserts
from nx_dte.errors import ConfigurationError
from nx_dte.model.access import Token, TokenAccess
from nx_dte.model.ids import CiRunId, InvocationId, JobId, TaskId, TokenId, WorkspaceId
from nx_dte.model.invocation import Invocation
from nx_dte.model.run import CiRun
from nx_dte.model.task import Task, TaskOutcome, TaskState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nx_dte.coordinator.store.base import Session

NOW = datetime(2026, 1, 1, 12, 30, 15, 123456, tzinfo=UTC)
RUN = CiRun(
    ci_run_id=CiRunId("R"),
    workspace_id=WorkspaceId("w"),
    ci_id="1",
    environment="",
    token_access=TokenAccess.READ_WRITE,
    job_id=JobId("9"),
    stop_agents_after=("e2e", "build:production"),
    created_at=NOW,
    main_seen_at=NOW,
)
INVOCATION = Invocation(
    invocation_id=InvocationId("I"),
    ci_run_id=RUN.ci_run_id,
    invocation_key="k",
    command="nx build",
    targets=("build",),
    tasks_total=3,
    tasks_unfinished=3,
    created_at=NOW,
)


def a_task(name: str, *dependencies: str, **other: object) -> Task:
    made = Task(
        invocation_id=INVOCATION.invocation_id,
        ci_run_id=RUN.ci_run_id,
        task_id=TaskId(name),
        project=name,
        target="build",
        dependencies=tuple(map(TaskId, dependencies)),
        state=TaskState.BLOCKED if dependencies else TaskState.READY,
        unfinished_dependencies=len(dependencies),
    )
    return replace(made, **other)  # type: ignore[arg-type]


def a_token(name: str) -> Token:
    return Token(
        token_id=TokenId(name),
        workspace_id=WorkspaceId("w"),
        access=TokenAccess.READ_ONLY,
        token_sha256=name,
        created_at=NOW,
    )


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    made = SqlStore(f"sqlite:///{tmp_path / 'store.sqlite3'}")
    made.migrate()
    yield made
    made.close()


def filled(session: Session) -> None:
    session.insert_run(RUN)
    session.insert_invocation(INVOCATION)
    session.insert_tasks([a_task("a"), a_task("b", "a"), a_task("c", "b")])


async def in_one_group(store: SqlStore, *works: Callable[[Session], object]) -> list[object]:
    """Queue works while the writer is busy, so that they share its next transaction."""
    release = threading.Event()

    def hold(_session: Session) -> None:
        release.wait(10)

    holding = asyncio.ensure_future(store.write(hold))
    await asyncio.sleep(0.05)
    queued = [asyncio.ensure_future(store.write(work)) for work in works]
    await asyncio.sleep(0.05)
    release.set()
    await holding
    return await asyncio.gather(*queued, return_exceptions=True)


async def test_values_come_back_as_they_went_in(store: SqlStore) -> None:
    await store.write(filled)

    assert await store.read(lambda session: session.run(RUN.ci_run_id)) == RUN
    assert await store.read(lambda session: session.invocation(INVOCATION.invocation_id)) == INVOCATION
    assert await store.read(lambda session: session.tasks_of_run(RUN.ci_run_id)) == (
        a_task("a"),
        a_task("b", "a"),
        a_task("c", "b"),
    )


async def test_a_work_that_fails_half_written_spoils_no_other(store: SqlStore) -> None:
    def spoiled(session: Session) -> None:
        session.insert_token(a_token("spoiled"))
        raise RuntimeError("in the middle")

    outcomes = await in_one_group(
        store,
        lambda session: session.insert_token(a_token("first")),
        spoiled,
        lambda session: session.insert_token(a_token("last")),
    )

    assert [type(outcome) for outcome in outcomes] == [type(None), RuntimeError, type(None)]
    tokens = await store.read(lambda session: session.tokens())
    assert {token.token_id for token in tokens} == {"first", "last"}


async def test_a_constraint_broken_by_one_spoils_no_other(store: SqlStore) -> None:
    outcomes = await in_one_group(
        store, *[lambda session, name=name: session.insert_token(a_token(name)) for name in ("a", "a", "b")]
    )

    assert [type(outcome) for outcome in outcomes] == [type(None), ConflictError, type(None)]


async def test_a_mere_refusal_makes_nobody_run_twice(store: SqlStore) -> None:
    runs: list[str] = []

    def counted(session: Session) -> None:
        runs.append("counted")
        session.insert_token(a_token("counted"))

    def refused(_session: Session) -> None:
        raise ConfigurationError("no")

    await in_one_group(store, counted, refused)

    assert runs == ["counted"]


async def test_whoever_stops_waiting_does_not_stop_the_writer(store: SqlStore) -> None:
    release = threading.Event()
    holding = asyncio.ensure_future(store.write(lambda _session: release.wait(10)))
    await asyncio.sleep(0.05)
    impatient = asyncio.ensure_future(store.write(lambda session: session.insert_token(a_token("x"))))
    await asyncio.sleep(0)
    impatient.cancel()
    holding.cancel()
    release.set()

    assert await store.write(lambda session: len(session.tokens())) in {0, 1}


async def test_questions_see_what_the_same_transaction_has_gathered(store: SqlStore) -> None:
    await store.write(filled)

    def work(session: Session) -> tuple[list[str], list[str], int]:
        done = a_task("a", state=TaskState.FINISHED, outcome=TaskOutcome.SUCCEEDED)
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
    done = a_task("a", state=TaskState.FINISHED, outcome=TaskOutcome.SUCCEEDED)
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


def test_every_statement_can_be_said_to_postgresql() -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    named = {
        f"{module.__name__}.{name}": value
        for module in (reads, task_reads, writes)
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, ClauseElement)
    }
    ours = upserts("postgresql")
    statements = [*named.values(), *(getattr(ours, name) for name in ours.__slots__)]

    said = [str(statement.compile(dialect=dialect)) for statement in statements]
    for table in tables.metadata.sorted_tables:
        said.append(str(CreateTable(table).compile(dialect=dialect)))
        said += [str(CreateIndex(index).compile(dialect=dialect)) for index in table.indexes]

    assert len(named) > 30
    assert sum("FOR UPDATE" in text for text in said) == 5
    assert sum("ON CONFLICT" in text for text in said) == 5
    assert any("CREATE UNIQUE INDEX uq_leases_live" in text and "WHERE" in text for text in said)

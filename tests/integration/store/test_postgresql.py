"""What only a server can do: go away, come back, refuse, and wait for somebody who never goes on."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg
import pytest
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex, CreateTable
from sqlalchemy.sql import ClauseElement

from nx_dte.coordinator.store.errors import ConflictError, StoreUnreachableError
from nx_dte.coordinator.store.sql import presence, reads, tables, task_reads, writes
from nx_dte.coordinator.store.sql.reach import migrate_when_reachable
from nx_dte.coordinator.store.sql.store import SqlStore
from nx_dte.coordinator.store.sql.upserts import upserts
from nx_dte.demo.coordinator import free_port
from nx_dte.errors import ConfigurationError
from tests.integration.store.rows import RUN, a_run, a_token, filled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nx_dte.coordinator.store.base import Reads, Session
    from tests.support.postgres import PostgresServer

pytestmark = [pytest.mark.slow, pytest.mark.needs_postgresql]
LIMIT_S = 30


@pytest.fixture
def store(postgres_url: str) -> Iterator[SqlStore]:
    made = SqlStore(postgres_url)
    yield made
    made.close()


@pytest.fixture
def own_store(own_postgres: PostgresServer) -> Iterator[SqlStore]:
    """On a server that the test may stop."""
    made = SqlStore(own_postgres.url(own_postgres.create_database()))
    made.migrate()
    yield made
    made.close()


def count_tokens(reads: Reads) -> int:
    return len(reads.tokens())


async def until_it_answers(store: SqlStore) -> None:
    async with asyncio.timeout(LIMIT_S):
        while True:
            try:
                await store.read(count_tokens)
                return await store.write(
                    lambda session: session.ensure_workspace(RUN.workspace_id, RUN.created_at)
                )
            except StoreUnreachableError:
                await asyncio.sleep(0.05)


async def test_a_restart_of_the_server_costs_a_try_and_no_more(
    own_postgres: PostgresServer, own_store: SqlStore
) -> None:
    await own_store.write(lambda session: session.insert_token(a_token("before")))

    await asyncio.to_thread(own_postgres.restart)
    await until_it_answers(own_store)

    assert await own_store.read(count_tokens) == 1


async def test_a_server_that_is_gone_is_no_fault_of_ours(
    own_postgres: PostgresServer, own_store: SqlStore
) -> None:
    await own_store.write(filled)
    is_inside, may_go_on = threading.Event(), threading.Event()

    def interrupted(session: Session) -> None:
        session.update_run(replace(RUN, sequence=9))
        session.lock_run(RUN.ci_run_id)
        is_inside.set()
        may_go_on.wait(LIMIT_S)
        session.insert_run(a_run("never"))

    writing = asyncio.ensure_future(own_store.write(interrupted))
    await asyncio.to_thread(is_inside.wait, LIMIT_S)
    await asyncio.to_thread(own_postgres.kill)
    may_go_on.set()

    with pytest.raises(StoreUnreachableError, match="try again"):
        await writing
    with pytest.raises(StoreUnreachableError):
        await own_store.read(count_tokens)
    with pytest.raises(StoreUnreachableError):
        await own_store.write(filled)

    await asyncio.to_thread(own_postgres.start)
    await until_it_answers(own_store)
    assert await own_store.read(lambda reads: [run.sequence for run in reads.live_runs()]) == [0]


async def test_two_that_wait_for_each_other_are_told_to_try_again(store: SqlStore) -> None:
    def two_runs(session: Session) -> None:
        session.insert_run(a_run("one"))
        session.insert_run(a_run("other"))

    await store.write(two_runs)
    both_hold_one = threading.Barrier(2)

    def lock(first: str, second: str) -> asyncio.Future[None]:
        def work(session: Session) -> None:
            session.lock_run(a_run(first).ci_run_id)
            both_hold_one.wait(LIMIT_S)
            session.lock_run(a_run(second).ci_run_id)

        return asyncio.ensure_future(store.write(work))

    outcomes = await asyncio.gather(lock("one", "other"), lock("other", "one"), return_exceptions=True)

    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["ConflictError", "NoneType"]


async def test_a_coordinator_frozen_in_a_transaction_stops_the_others_for_seconds_only(
    store: SqlStore, postgres_url: str
) -> None:
    """The server ends its session, and with that its lock; until then the others are told to try again."""
    await store.write(filled)
    frozen = SqlStore(postgres_url)
    is_inside, may_go_on = threading.Event(), threading.Event()

    def freeze(session: Session) -> None:
        session.lock_run(RUN.ci_run_id)
        is_inside.set()
        may_go_on.wait(LIMIT_S)
        session.update_run(replace(RUN, sequence=99))
        session.lock_run(a_run("any").ci_run_id)

    freezing = asyncio.ensure_future(frozen.write(freeze))
    await asyncio.to_thread(is_inside.wait, LIMIT_S)

    def change(session: Session) -> None:
        run = session.lock_run(RUN.ci_run_id)
        assert run is not None
        session.update_run(replace(run, sequence=5))

    began = time.monotonic()
    async with asyncio.timeout(LIMIT_S):
        while True:
            try:
                await store.write(change)
                break
            except ConflictError:
                continue
    assert (
        time.monotonic() - began < 25
    )  # the server ends an idle session after ten; the frozen one waits for thirty

    may_go_on.set()
    with pytest.raises(StoreUnreachableError):
        await freezing
    run = await store.read(lambda reads: reads.run(RUN.ci_run_id))
    assert run is not None
    assert run.sequence == 5
    await asyncio.to_thread(frozen.close)


async def test_a_server_that_comes_late_is_waited_for(own_postgres: PostgresServer) -> None:
    name = own_postgres.create_database()
    own_postgres.stop()
    late = SqlStore(own_postgres.url(name))
    said: list[str] = []

    def note(line: str) -> None:
        said.append(line)
        own_postgres.start()

    await migrate_when_reachable(late, wait_s=LIMIT_S, say=note)

    assert await late.read(count_tokens) == 0
    assert len(said) == 1
    assert "waits for the database" in said[0]
    assert own_postgres.password not in said[0]
    await asyncio.to_thread(late.close)


async def test_a_server_that_never_comes_is_given_up() -> None:
    store = SqlStore(f"postgresql://somebody:top-secret-word@127.0.0.1:{free_port()}/name")
    said: list[str] = []

    with pytest.raises(StoreUnreachableError, match=r"did not answer within 0\.6 s: .*refused") as caught:
        await migrate_when_reachable(store, wait_s=0.6, say=said.append)

    assert caught.value.exit_code == 75
    assert "top-secret-word" not in caught.value.message + "".join(said)
    await asyncio.to_thread(store.close)


@pytest.mark.parametrize("wrong", ["password", "database", "user"])
async def test_what_waiting_does_not_mend_is_said_at_once(postgres: PostgresServer, wrong: str) -> None:
    url = {
        "password": postgres.url(password="another-secret-word"),
        "database": postgres.url("nowhere"),
        "user": postgres.url().replace("nx_dte:", "nobody-here:"),
    }[wrong]
    store = SqlStore(url)

    with pytest.raises(ConfigurationError, match="refuses us") as caught:
        await migrate_when_reachable(store, wait_s=LIMIT_S, say=pytest.fail)

    assert caught.value.exit_code == 78
    assert "another-secret-word" not in caught.value.message
    assert postgres.password not in caught.value.message
    await asyncio.to_thread(store.close)


async def test_a_user_who_may_not_make_tables_is_told_what_to_grant(
    postgres: PostgresServer, empty_postgres_url: str
) -> None:
    with psycopg.connect(empty_postgres_url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS guest")
        connection.execute("CREATE ROLE guest LOGIN PASSWORD 'guest'")
    store = SqlStore(empty_postgres_url.replace(f"nx_dte:{postgres.password}", "guest:guest"))

    with pytest.raises(ConfigurationError, match="grant it CREATE"):
        await migrate_when_reachable(store, wait_s=LIMIT_S, say=pytest.fail)

    await asyncio.to_thread(store.close)


def test_who_reads_cannot_write(postgres_url: str) -> None:
    store = SqlStore(postgres_url)
    with store._read_engine.connect() as connection, pytest.raises(Exception, match="read-only transaction"):
        connection.exec_driver_sql("DELETE FROM tokens")
    store.close()


def test_every_statement_can_be_said_to_postgresql() -> None:
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    named = {
        f"{module.__name__}.{name}": value
        for module in (reads, task_reads, writes, presence)
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
    assert sum("FOR UPDATE" in text for text in said) >= 6
    assert any("CREATE UNIQUE INDEX uq_leases_live" in text and "WHERE" in text for text in said)

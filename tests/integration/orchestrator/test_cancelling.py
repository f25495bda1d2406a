"""A main job that is told to stop: the coordinator hears of it first, then everything of the job ends, in time."""

from __future__ import annotations

import signal
import socket
from typing import TYPE_CHECKING

import pytest

from nx_dte.orchestrator.ending import CANCEL_S
from tests.support.processes import wait_until
from tests.support.tcp_proxy import TcpProxy

if TYPE_CHECKING:
    from tests.integration.orchestrator.fake_nx import Checkout, Started
    from tests.integration.orchestrator.servers import Ours

LINE = ("orchestrate", "--record", "nx format:check", "--", "nx", "affected")
GUARD_OFF = {"NX_DTE_GUARD_MODE": "off"}
COMPLETE = "yarn nx-cloud complete-ci-run"
BUSY_S = 8.0  # what a busy machine may add to a promise

# A command with a server in a session of its own; both say when they are told to end.
WORKS = """
trap 'echo told >> $FAKE/told; exit 1' TERM
setsid sh -c 'trap "echo told >> $FAKE/told; exit" TERM; echo up >> $FAKE/up; while :; do sleep 0.05; done' &
echo up >> $FAKE/up
while :; do sleep 0.05; done
"""
# One that hears nothing.
DEAF = """
trap '' TERM
setsid sh -c 'trap "" TERM; echo up >> $FAKE/up; while :; do sleep 0.05; done' &
echo up >> $FAKE/up
while :; do sleep 0.05; done
"""


def is_up(checkout: Checkout, count: int = 2) -> None:
    up = checkout.fake / "up"
    wait_until(lambda: up.exists() and len(up.read_text().split()) == count, 40, "the command is at work")


def is_all_gone(started: Started) -> None:
    wait_until(lambda: not started.processes, 5, "nothing of the job is left")


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)])
def test_told_alone_it_tells_the_coordinator_before_its_commands(
    checkout: Checkout, ours: Ours, number: signal.Signals
) -> None:
    heard_too_early: list[bool] = []
    ours.on_told = lambda: heard_too_early.append((checkout.fake / "told").exists())
    checkout.on("nx-affected", WORKS)
    started = checkout.start(*LINE)
    is_up(checkout)
    started.tell(number)
    ended = started.end()
    is_all_gone(started)
    assert ended.code == 128 + number
    reason = f"the job was told to stop ({number.name})"
    assert [address for address, _ in ours.told] == ["records", "main-left"]
    record, left = (body for _, body in ours.told)
    assert (record["command"], record["code"]) == ("nx-dte orchestrate", 128 + number)
    assert left == {"job_id": "9001", "reason": reason}
    assert heard_too_early == [False, False]
    assert len((checkout.fake / "told").read_text().split()) == 2
    assert COMPLETE not in checkout.lines
    assert ended.log.endswith("the coordinator knows; everything this job had started has ended\n")


@pytest.mark.parametrize("step", [pytest.param("nx-cloud-record", marks=pytest.mark.slow), "nx-affected"])
def test_told_all_at_once_as_in_a_container_it_is_the_same(checkout: Checkout, ours: Ours, step: str) -> None:
    checkout.on(step, WORKS)
    started = checkout.start(*LINE)
    is_up(checkout)
    started.tell(all_at_once=True)
    ended = started.end()
    is_all_gone(started)
    assert ended.code == 143
    assert [address for address, _ in ours.told] == ["records", "main-left"]
    assert COMPLETE not in checkout.lines
    assert "failed with exit code" not in ended.log


@pytest.mark.slow  # the whole time that a cancelled job has
def test_who_hears_nothing_is_ended_before_the_runner_would(checkout: Checkout, ours: Ours) -> None:
    checkout.on("nx-affected", DEAF)
    with TcpProxy([("127.0.0.1", ours.server.port)]) as proxy:
        started = checkout.start(*LINE, NX_CLOUD_API=proxy.url)
        is_up(checkout)
        proxy.is_stalled = True
        started.tell()
        ended = started.end()
    is_all_gone(started)
    assert ended.code == 143
    assert ended.took_s < CANCEL_S + BUSY_S
    assert ended.log.endswith(
        "the coordinator could not be told; everything this job had started has ended\n"
    )


@pytest.mark.slow  # starts several processes
def test_whoever_can_still_tell_a_coordinator_that_is_away_is_spared(checkout: Checkout, ours: Ours) -> None:
    """The pinger of a coordinator of ours: it sees the job's shell end, and tells."""
    pinger = "NX_DTE_PINGER=config setsid sh -c 'echo $$ > $FAKE/pinger; sleep 60' > /dev/null 2>&1 &"
    checkout.on("nx-cloud-start-ci-run", f"touch $FAKE/open; {pinger}")
    checkout.on("nx-affected", WORKS)
    with TcpProxy([("127.0.0.1", ours.server.port)]) as proxy:
        started = checkout.start(*LINE, NX_CLOUD_API=proxy.url)
        is_up(checkout)
        proxy.is_refusing = True
        started.tell()
        ended = started.end()
    assert ended.code == 143
    assert int((checkout.fake / "pinger").read_text()) in started.processes
    assert len((checkout.fake / "told").read_text().split()) == 2


@pytest.mark.slow  # starts several processes
def test_told_while_the_run_is_being_opened_that_command_ends_first(checkout: Checkout, ours: Ours) -> None:
    order: list[bool] = []
    ours.on_told = lambda: order.append((checkout.fake / "told").exists())
    checkout.on("nx-cloud-start-ci-run", "touch $FAKE/open\n" + WORKS)
    started = checkout.start(*LINE)
    is_up(checkout)
    started.tell()
    ended = started.end()
    is_all_gone(started)
    assert (ended.code, order) == (143, [True, True])
    assert [address for address, _ in ours.told] == ["records", "main-left"]


def test_told_before_anything_is_opened_it_just_ends(checkout: Checkout) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        started = checkout.start(*LINE, NX_CLOUD_API=address, NX_DTE_PATIENCE="60")
        silent.settimeout(40)
        connection, _ = silent.accept()  # it asks who is there, and gets no answer
        started.tell()
        ended = started.end()
        connection.close()
    assert (ended.code, checkout.calls) == (143, [])
    assert ended.took_s < CANCEL_S + BUSY_S
    assert "told to stop before anything was begun" in ended.log


@pytest.mark.slow  # starts several processes
def test_told_while_it_completes_nothing_is_left(checkout: Checkout, ours: Ours) -> None:
    checkout.on("nx-cloud-complete-ci-run", WORKS)
    started = checkout.start(*LINE)
    is_up(checkout)
    started.tell()
    ended = started.end()
    is_all_gone(started)
    assert ended.code == 143
    assert [address for address, _ in ours.told] == ["records", "main-left"]


@pytest.mark.slow  # starts several processes
def test_without_a_coordinator_it_ends_what_it_has_started(checkout: Checkout) -> None:
    checkout.on("nx-affected", WORKS)
    started = checkout.start(*LINE, NX_NO_CLOUD="true")
    is_up(checkout)
    started.tell()
    ended = started.end()
    is_all_gone(started)
    assert ended.code == 143


@pytest.mark.slow  # starts several processes
def test_nx_cloud_is_told_by_its_own_command_before_the_others_end(checkout: Checkout, foreign: str) -> None:
    checkout.on("nx-affected", WORKS)
    checkout.on("nx-cloud-complete-ci-run", "test ! -e $FAKE/told && echo first > $FAKE/first")
    started = checkout.start(*LINE, **GUARD_OFF, NX_CLOUD_API=foreign)
    is_up(checkout)
    started.tell()
    ended = started.end()
    is_all_gone(started)
    assert (ended.code, checkout.lines[-1]) == (143, COMPLETE)
    assert (checkout.fake / "first").exists()
    assert "the coordinator knows" in ended.log


@pytest.mark.slow  # it waits for Nx Cloud's command as long as it may
def test_an_nx_cloud_that_takes_too_long_does_not_keep_the_job(checkout: Checkout, foreign: str) -> None:
    checkout.on("nx-affected", DEAF)
    checkout.on("nx-cloud-complete-ci-run", DEAF)
    started = checkout.start(*LINE, **GUARD_OFF, NX_CLOUD_API=foreign)
    is_up(checkout)
    started.tell()
    ended = started.end()
    is_all_gone(started)
    assert ended.code == 143
    assert ended.took_s < CANCEL_S + BUSY_S

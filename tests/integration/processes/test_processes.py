"""Real processes: how they end, and that nothing of a job is left behind, whatever session it has moved to."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nx_dte.processes import (
    MARK,
    Child,
    StoppedError,
    StopSignals,
    end_marked,
    has_variable,
    marked_processes,
    write_to_log,
)
from tests.support.processes import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

LONG_S = 20.0  # for a busy machine; nothing here takes a tenth of it


_CHILDREN: list[Child] = []


@pytest.fixture
def key(request: pytest.FixtureRequest) -> Iterator[str]:
    """A mark of the test's own; nothing that carries it outlives the test."""
    name = f"{request.node.name}-{os.getpid()}"
    yield name
    end_marked(name, grace_s=0.0)
    while _CHILDREN:
        wait(_CHILDREN.pop())


def start(folder: Path, script: str, *, key: str = "", **env: str) -> Child:
    environ = {"PATH": os.environ["PATH"], MARK: key, **env}
    child = Child(["bash", "-c", script], env=environ, cwd=folder, reads_output=True)
    _CHILDREN.append(child)
    return child


def wait(child: Child) -> tuple[int, str]:
    """Its exit code and everything it printed."""
    printed: list[bytes] = []

    def has_ended() -> bool:
        code = child.poll()
        printed.extend(child.lines())
        return code is not None

    wait_until(has_ended, LONG_S, "the child ended")
    printed.extend(child.lines())
    return child.poll() or 0, b"".join(printed).decode()


# ------------------------------------------------------------------------------------- exit codes
@pytest.mark.parametrize(
    ("script", "code"), [("exit 0", 0), ("exit 77", 77), ("kill -TERM $$", 143), ("kill -KILL $$", 137)]
)
def test_an_end_is_a_shells_exit_code(tmp_path: Path, script: str, code: int) -> None:
    assert wait(start(tmp_path, script))[0] == code


def test_what_it_prints_on_both_streams_comes_in_order(tmp_path: Path) -> None:
    assert wait(start(tmp_path, "echo one; echo two >&2; printf three")) == (0, "one\ntwo\nthree")


def test_a_program_that_is_not_there(tmp_path: Path) -> None:
    child = Child(["no-such-program", "x"], env={"PATH": "/nowhere"}, cwd=tmp_path)
    assert wait(child) == (127, "nx-dte: no-such-program: not found\n")
    child.ask_to_end()
    assert child.pid is None


def test_a_program_that_may_not_be_run(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no program")
    assert wait(Child([str(tmp_path / "text")], env={}, cwd=tmp_path))[0] == 126


def test_its_path_is_the_one_of_its_own_environment(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("#!/bin/sh\necho mine\n")
    (tmp_path / "mine").chmod(0o755)
    assert wait(Child(["mine"], env={"PATH": str(tmp_path)}, cwd=tmp_path, reads_output=True)) == (
        0,
        "mine\n",
    )


def test_who_is_left_behind_with_its_output_does_not_hold_the_child_up(tmp_path: Path, key: str) -> None:
    code, printed = wait(start(tmp_path, "echo bye; sleep 60 & exit 3", key=key))
    assert (code, printed) == (3, "bye\n")


def test_asked_to_end_its_whole_process_group_is(tmp_path: Path, key: str) -> None:
    child = start(tmp_path, "sleep 60 & echo started; wait", key=key)
    wait_until(lambda: child.lines() == [b"started\n"], LONG_S, "it has started")
    child.ask_to_end()
    assert wait(child)[0] == 143
    wait_until(lambda: not marked_processes(key), LONG_S, "its own child has ended, too")


# ------------------------------------------------------------------------------------- the mark
TREE = """
setsid sleep 61 &
setsid bash -c 'trap "" TERM; echo $$ >> started; sleep 62; sleep 62' &
env -u NX_DTE_JOB_KEY bash -c 'trap "" TERM; echo $$ >> started; sleep 63; sleep 63' &
echo $$ >> started
wait
"""


def test_a_whole_tree_ends_whatever_session_and_environment_it_has(tmp_path: Path, key: str) -> None:
    """One of a session of its own that hears no SIGTERM, and one without the mark, whose parent goes first."""
    child = start(tmp_path, TREE, key=key)
    started = tmp_path / "started"
    wait_until(lambda: started.exists() and len(started.read_text().split()) == 3, LONG_S, "all are there")
    wait_until(lambda: len(marked_processes(key)) >= 6, LONG_S, "all are found")
    stranger = subprocess.Popen(["sleep", "60"], env={MARK: f"{key}-another"})
    try:
        assert end_marked(key, grace_s=0.2)
        assert marked_processes(key) == set()
        assert [pid for pid in started.read_text().split() if _is_alive(pid)] == []
        assert stranger.poll() is None
        assert wait(child)[0] == 143
    finally:
        stranger.kill()
        stranger.wait()


def _is_alive(pid: str) -> bool:
    """Whether it runs; who is dead and not waited for does not."""
    try:
        return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0] not in {"Z", "X"}
    except OSError:
        return False


def test_who_ends_when_told_is_not_waited_for_any_longer(tmp_path: Path, key: str) -> None:
    start(
        tmp_path, "trap 'echo heard > heard; exit 0' TERM; touch ready; while :; do sleep 0.05; done", key=key
    )
    wait_until((tmp_path / "ready").exists, LONG_S, "it is ready to hear")
    began = time.monotonic()
    assert end_marked(key, grace_s=10 * LONG_S)
    assert time.monotonic() - began < LONG_S
    assert (tmp_path / "heard").exists()


def test_who_is_spared_lives_on(tmp_path: Path, key: str) -> None:
    spared = start(tmp_path, "sleep 60", key=key, NX_DTE_PINGER="config")
    other = start(tmp_path, "sleep 60", key=key)
    assert spared.pid is not None
    wait_until(lambda: len(marked_processes(key)) == 2, LONG_S, "both are found")
    assert end_marked(key, grace_s=0.0, is_spared=lambda pid: has_variable(pid, "NX_DTE_PINGER="))
    assert wait(other)[0] in {143, 137}
    assert marked_processes(key) == {spared.pid}


def test_nothing_to_end() -> None:
    assert marked_processes("nobody") == set()
    assert end_marked("nobody", grace_s=LONG_S)
    assert not has_variable(2**22 + 1, "A=b")


# ------------------------------------------------------------------------------------- the log
def test_a_stream_that_a_child_has_made_non_blocking_is_waited_for() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    data = os.urandom(1_000_000)
    read: list[bytes] = []

    def drain() -> None:
        with os.fdopen(reader, "rb") as stream:
            read.append(stream.read())

    thread = threading.Thread(target=drain)
    thread.start()
    write_to_log(data, stream=writer)
    os.close(writer)
    thread.join(LONG_S)
    assert read == [data]


def test_a_log_that_is_gone_is_no_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    write_to_log(b"words", stream=writer)
    os.close(writer)
    with Path("/dev/full").open("wb") as full:
        write_to_log(b"words", stream=full.fileno())


# ------------------------------------------------------------------------------------- signals
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_the_first_signal_is_remembered_and_ends_nothing(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with StopSignals() as stopping:
        signal.raise_signal(number)
        signal.raise_signal(signal.SIGTERM)
        assert (stopping.received, stopping.exit_code) == (number, 128 + number)
    assert signal.getsignal(number) is before


def test_where_a_wait_may_be_interrupted_the_signal_ends_it() -> None:
    began = time.monotonic()
    timer = threading.Timer(0.05, lambda: os.kill(os.getpid(), signal.SIGTERM))
    with StopSignals() as stopping:
        timer.start()
        with pytest.raises(StoppedError), stopping.interrupting():
            time.sleep(LONG_S)
        signal.raise_signal(signal.SIGTERM)  # outside, another one only is noted
        with pytest.raises(StoppedError), stopping.interrupting():
            pytest.fail("told before, nothing more is begun")
    assert time.monotonic() - began < LONG_S


def test_clearing_up_is_not_cut_short_by_a_second_signal() -> None:
    cleared = []

    def work() -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            signal.raise_signal(signal.SIGTERM)
            cleared.append(1)

    with StopSignals() as stopping, pytest.raises(StoppedError), stopping.interrupting():
        work()
    assert cleared == [1]


def test_it_is_no_exception_that_anybody_swallows() -> None:
    assert not issubclass(StoppedError, Exception)

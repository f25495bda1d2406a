"""What `nx-dte agent` runs, with which words and variables, and how it ends, around a recorded `nx-cloud`.

With a coordinator of ours, with a server that is none (as a real Nx Cloud would be; that itself is not tested here), and
with nobody.
"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.support.processes import wait_until

if TYPE_CHECKING:
    from pytest_httpserver import HTTPServer

    from tests.integration.orchestrator.fake_nx import Checkout, Started
    from tests.integration.orchestrator.servers import Ours

START = "yarn nx-cloud start-agent"
GUARD_OFF = {"NX_DTE_GUARD_MODE": "off"}
BUSY_S = 5.0  # what a busy machine may add to a promise

JOINED = "echo '[nx-dte] agent-1 joined CI run RUN as agent A.'\n"
# An agent with a server in a session of its own. It says goodbye, the server says nothing and hears nothing.
WORKS = """
trap 'echo "[nx-dte] SIGTERM: leaving; what is not finished goes back."; echo told >> $FAKE/told; exit 143' TERM
setsid sh -c 'trap "" TERM; echo up >> $FAKE/up; while :; do sleep 0.05; done' &
echo up >> $FAKE/up
while :; do sleep 0.05; done
"""
DEAF = "trap '' TERM; echo up >> $FAKE/up; echo up >> $FAKE/up; while :; do sleep 0.05; done"


def is_up(checkout: Checkout) -> None:
    up = checkout.fake / "up"
    wait_until(lambda: up.exists() and len(up.read_text().split()) == 2, 40, "the agent is at work")


def is_all_gone(started: Started) -> None:
    wait_until(lambda: not started.processes, 5, "nothing of the job is left")


# ------------------------------------------------------------------------------------------ ours
def test_ours_is_told_to_mirror_and_how_long_main_may_take(checkout: Checkout, ours: Ours) -> None:
    task = "[nx-dte] start: a:b\\n\\n[nx-dte] output of a:b:\\nwords\\n[nx-dte] done: a:b (success)\\n"
    checkout.on("nx-cloud-start-agent", f"{JOINED}printf '{task}'; echo on stderr >&2")
    ended = checkout.run("agent", GITLAB_CI="true")
    assert (ended.code, checkout.lines) == (0, [START])
    environ = checkout.call("nx-cloud", "start-agent").environ
    assert (environ["NX_DTE_MIRROR"], environ["NX_CLOUD_AGENT_TIMEOUT_MS"]) == ("1", "600000")
    assert environ["PATH"].startswith(f"{checkout.root}/node_modules/.bin:")
    assert "[collapsed=true]\r\x1b[0K\x1b[1ma:b: output\x1b[0m\nwords\n\x1b[0Ksection_end:" in ended.log
    assert ended.log.endswith("\n[nx-dte] done: a:b (success)\non stderr\n")
    assert ours.told == []


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"NX_CLOUD_AGENT_TIMEOUT_MS": "900"}, "900"),
        ({"NX_CLOUD_AGENT_TIMEOUT_MS": "3600000"}, "600000"),
        ({"NX_DTE_MAIN_TIMEOUT": "1200"}, "1200000"),
    ],
)
@pytest.mark.slow  # starts several processes
def test_the_shorter_wait_for_main_wins(
    checkout: Checkout, ours: Ours, given: dict[str, str], expected: str
) -> None:
    assert checkout.run("agent", **given).code == 0
    assert checkout.call("nx-cloud", "start-agent").environ["NX_CLOUD_AGENT_TIMEOUT_MS"] == expected
    assert ours.told == []


@pytest.mark.parametrize("code", [77, *(pytest.param(code, marks=pytest.mark.slow) for code in (75, 76, 78))])
def test_an_orderly_end_is_the_jobs_end(checkout: Checkout, ours: Ours, code: int) -> None:
    checkout.on("nx-cloud-start-agent", f"exit {code}")
    assert checkout.run("agent").code == code
    assert checkout.lines == [START]
    assert ours.told == []


@pytest.mark.slow  # the pause before a restart
def test_a_crashed_agent_is_started_again_and_what_it_left_is_ended(checkout: Checkout, ours: Ours) -> None:
    checkout.on(
        "nx-cloud-start-agent",
        "[ -e $FAKE/once ] && exit 0; touch $FAKE/once; setsid sleep 60 > /dev/null 2>&1 & kill -KILL $$",
    )
    started = checkout.start("agent")
    ended = started.end()
    is_all_gone(started)
    assert (ended.code, checkout.lines) == (0, [START] * 2)
    assert "the agent crashed with signal 9; restart 1 of 5 in 1 s" in ended.log
    assert ours.told == []


@pytest.mark.parametrize(("has_failed", "code"), [(True, 77), (False, 0)])
@pytest.mark.slow  # something that hears nothing is waited for
def test_it_leaves_by_a_limit_with_what_the_run_has_come_to(
    checkout: Checkout, ours: Ours, *, has_failed: bool, code: int
) -> None:
    (checkout.fake / "open").touch()
    ours.run["has_failed"] = has_failed
    checkout.on("nx-cloud-start-agent", JOINED + WORKS)
    started = checkout.start("agent", "--idle-limit", "0.2")
    ended = started.end()
    is_all_gone(started)
    assert ended.code == code
    assert "no task has run here for 0.2 s: leaving" in ended.log
    assert (checkout.fake / "told").read_text().split() == ["told"]
    assert ours.told == []


# -------------------------------------------------------------------------------------- told to stop
@pytest.mark.parametrize(
    ("number", "all_at_once"),
    [
        (signal.SIGTERM, False),
        (signal.SIGTERM, True),
        (signal.SIGQUIT, False),
    ],
)
@pytest.mark.slow  # something that hears nothing is waited for
def test_told_to_stop_it_gives_back_and_leaves_nothing(
    checkout: Checkout, ours: Ours, number: signal.Signals, *, all_at_once: bool
) -> None:
    checkout.on("nx-cloud-start-agent", JOINED + WORKS)
    started = checkout.start("agent")
    is_up(checkout)
    started.tell(number, all_at_once=all_at_once)
    ended = started.end()
    is_all_gone(started)
    assert ended.code == 128 + number
    assert (checkout.fake / "told").read_text().split() == ["told"], (
        "told once: a second time cuts its goodbye"
    )
    assert f"{number.name}: leaving; what is not finished goes back to the queue" in ended.log
    assert "[nx-dte] SIGTERM: leaving" in ended.log
    assert ours.told == []


def test_an_agent_that_hears_nothing_is_ended_when_the_grace_is_over(checkout: Checkout, ours: Ours) -> None:
    checkout.on("nx-cloud-start-agent", DEAF)
    started = checkout.start("agent", "--grace", "0.5")
    is_up(checkout)
    started.tell()
    ended = started.end()
    is_all_gone(started)
    assert ended.code == 143
    assert ended.took_s < 1.5 + BUSY_S
    assert ours.told == []


@pytest.mark.slow  # a second's pause, cut short
def test_told_to_stop_after_a_crash_it_starts_nothing_more(checkout: Checkout, ours: Ours) -> None:
    checkout.on("nx-cloud-start-agent", "touch $FAKE/crashed; exit 1")
    started = checkout.start("agent")
    wait_until(lambda: len(checkout.lines) == 3, 40, "it waits for its third restart, which takes 4 s")
    started.tell()
    ended = started.end()
    assert (ended.code, checkout.lines) == (143, [START] * 3)
    assert ours.told == []


# ---------------------------------------------------------------------------------------- nobody
def test_with_nobody_there_it_leaves_with_75(checkout: Checkout) -> None:
    where = {"NX_CLOUD_API": "http://127.0.0.1:1", "NX_CLOUD_ACCESS_TOKEN": "t", "NX_DTE_PATIENCE": "0"}
    ended = checkout.run("agent", **where)
    assert (ended.code, checkout.calls) == (75, [])
    assert "an agent can do nothing without it" in ended.log


@pytest.mark.slow  # starts several processes
def test_switched_off_there_is_nothing_to_do(checkout: Checkout, httpserver: HTTPServer) -> None:
    ended = checkout.run("agent", NX_CLOUD_API=httpserver.url_for(""), NX_NO_CLOUD="true")
    assert (ended.code, checkout.calls, httpserver.log) == (0, [], [])


# --------------------------------------------------------------------------------- a real Nx Cloud
def test_nx_cloud_gets_its_own_command_and_none_of_our_variables(checkout: Checkout, foreign: str) -> None:
    checkout.on("nx-cloud-start-agent", "echo 'Waiting for tasks...'")
    ended = checkout.run("agent", **GUARD_OFF)
    assert (ended.code, checkout.lines) == (0, [START])
    environ = checkout.call("nx-cloud", "start-agent").environ
    assert environ["NX_CLOUD_API"] == foreign
    assert {name for name in environ if name.startswith("NX_DTE_")} == {"NX_DTE_GUARD_MODE", "NX_DTE_JOB_KEY"}
    assert "NX_CLOUD_AGENT_TIMEOUT_MS" not in environ
    assert "Waiting for tasks...\n" in ended.log


@pytest.mark.slow  # something that hears nothing is waited for
def test_nx_cloud_s_agent_is_told_when_the_job_is(checkout: Checkout, foreign: str) -> None:
    quiet = WORKS.replace('echo "[nx-dte] SIGTERM: leaving; what is not finished goes back."; ', "")
    checkout.on("nx-cloud-start-agent", quiet)
    started = checkout.start("agent", **GUARD_OFF, NX_CLOUD_API=foreign)
    is_up(checkout)
    started.tell()
    ended = started.end()
    is_all_gone(started)
    assert ended.code == 143
    assert (checkout.fake / "told").read_text().split() == ["told"]

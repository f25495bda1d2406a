"""What `nx-dte orchestrate` runs, with which words, variables and exit codes, around recorded tools.

With a coordinator of ours, with a server that is none (as a real Nx Cloud would be; that itself is not tested here), and
with nobody.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from nx_dte.cli import main
from tests.support.processes import wait_until
from tests.support.tcp_proxy import TcpProxy

if TYPE_CHECKING:
    from pytest_httpserver import HTTPServer

    from tests.integration.orchestrator.fake_nx import Checkout
    from tests.integration.orchestrator.servers import Ours

START = "yarn nx-cloud start-ci-run --distribute-on=manual --stop-agents-on-failure=false"
COMPLETE = "yarn nx-cloud complete-ci-run"
LOCAL = ("NX_NO_CLOUD", "NX_SKIP_ATOMIZER_VALIDATION")
NOWHERE = "http://127.0.0.1:1"
LINE = (
    "orchestrate",
    "--record",
    "nx format:check",
    "--",
    "nx",
    "affected",
    "-t",
    "lint,test",
    "--base=$NX_BASE",
)
GUARD_OFF = {"NX_DTE_GUARD_MODE": "off"}


# ----------------------------------------------------------------------------------------- ours
def test_ours_is_opened_used_completed_and_summed_up(checkout: Checkout, ours: Ours) -> None:
    checkout.on("nx-affected", 'echo "nx says $*"')
    ended = checkout.run(
        "orchestrate", "--stop-agents-after", "lint,test", "--junit", "out/tasks.xml", *LINE[1:]
    )
    assert ended.code == 0
    assert checkout.lines == [
        f"{START} --stop-agents-after=lint,test",
        "yarn nx-cloud record -- nx format:check",
        f"yarn nx affected -t lint,test --base={checkout.base}",
        COMPLETE,
    ]
    for call in checkout.calls:
        assert (call.environ["NX_BASE"], call.environ["NX_HEAD"]) == (checkout.base, checkout.head)
        assert call.environ["PATH"].startswith(f"{checkout.root}/node_modules/.bin:")
        assert call.environ["NX_CLOUD_ACCESS_TOKEN"] == "t"
        assert [name for name in LOCAL if name in call.environ] == []
    assert ours.told == [], "complete-ci-run has told it"
    assert "nx says affected -t lint,test" in ended.log
    assert "nx-dte: succeeded · CI run RUN (pipeline 70, attempt 1)\n  tasks    1: 1 succeeded\n" in ended.log
    assert f"{checkout.variables['NX_CLOUD_API']}/api/v1/ci-runs/RUN/tasks\n" in ended.log
    (case,) = ET.parse(checkout.root / "out/tasks.xml").getroot().findall("testsuite/testcase")
    assert (case.get("classname"), case.get("name"), case.get("time")) == ("build", "shop", "2.000")


def test_a_failing_record_hides_nothing_and_its_exit_code_is_the_jobs(checkout: Checkout, ours: Ours) -> None:
    checkout.on("nx-cloud-record", "exit 3")
    checkout.on("nx-affected", "exit 1")
    ended = checkout.run("orchestrate", "--run", "nx run last:e2e", *LINE[1:])
    assert ended.code == 3
    assert [line.split()[2] for line in checkout.lines] == [
        "start-ci-run",
        "record",
        "affected",
        "run",
        "complete-ci-run",
    ]
    assert "  FAILED   record `nx format:check` failed with exit code 3\n" in ended.log
    assert (
        "  FAILED   command `nx affected -t lint,test '--base=$NX_BASE'` failed with exit code 1\n"
        in ended.log
    )
    ((address, record),) = ours.told
    assert (address, record["command"], record["code"]) == ("records", "nx format:check", 3)


@pytest.mark.slow  # starts several processes
def test_fail_fast_stops_at_the_first_failure_and_still_completes(checkout: Checkout, ours: Ours) -> None:
    checkout.on("nx-cloud-record", "exit 3")
    assert checkout.run("orchestrate", "--fail-fast", *LINE[1:]).code == 3
    assert [line.split()[2] for line in checkout.lines] == ["start-ci-run", "record", "complete-ci-run"]
    assert [address for address, _ in ours.told] == ["records"]


@pytest.mark.slow  # starts several processes
def test_a_command_that_is_not_there_fails_as_in_a_shell(checkout: Checkout, ours: Ours) -> None:
    ours.run["has_failed"] = True
    ended = checkout.run("orchestrate", "--", "no-such-program")
    assert (ended.code, "no-such-program: not found" in ended.log) == (127, True)
    assert checkout.lines[-1] == COMPLETE
    assert ours.told == [], "it knows already that the run has failed"


def test_without_its_start_nothing_is_run(checkout: Checkout, ours: Ours) -> None:
    checkout.on("nx-cloud-start-ci-run", "echo 'ERROR: the run is closed' >&2; exit 1")
    ended = checkout.run(*LINE)
    assert (ended.code, checkout.lines) == (1, [START])
    assert "nothing was run" in ended.log
    assert ours.told == []


def test_a_second_call_in_one_job_says_that_one_is_enough(checkout: Checkout, ours: Ours) -> None:
    ours.run["state"] = "finished"
    (checkout.fake / "open").touch()
    checkout.on("nx-cloud-start-ci-run", "exit 1")
    ended = checkout.run("orchestrate", "--", "nx", "affected")
    assert ended.code == 1
    assert "Give all commands to one call, further ones by --run" in ended.log


@pytest.mark.slow  # starts several processes
def test_a_completion_that_fails_is_made_up_for_and_changes_no_exit_code(
    checkout: Checkout, ours: Ours
) -> None:
    checkout.on("nx-cloud-complete-ci-run", "exit 1")
    ended = checkout.run(*LINE)
    assert ended.code == 0
    assert ours.told == [("complete", {"reason": "all commands have ended"})]
    assert "the coordinator was told directly" in ended.log


def test_a_token_that_ours_refuses_is_no_absence(checkout: Checkout, ours: Ours) -> None:
    ended = checkout.run(*LINE, NX_CLOUD_ACCESS_TOKEN="stolen")
    assert (ended.code, checkout.calls) == (78, [])
    assert "answers 401: The token is unknown (make one) [coordinator_refused]" in ended.log
    assert ours.told == []


@pytest.mark.slow  # starts several processes
def test_a_report_that_cannot_be_written_changes_nothing(checkout: Checkout, ours: Ours) -> None:
    ended = checkout.run("orchestrate", "--junit", "/dev/full", "--", "nx", "lint")
    assert (ended.code, checkout.lines[-1]) == (0, COMPLETE)
    assert "no JUnit report: /dev/full: No space left on device" in ended.log
    assert ours.told == []


def test_a_fault_of_ours_is_70_and_leaves_no_agent_waiting(
    checkout: Checkout, ours: Ours, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("a fault")

    monkeypatch.setattr("nx_dte.orchestrator.job.steps", broken)
    monkeypatch.setattr("sys.argv", ["nx-dte", *LINE])
    monkeypatch.chdir(checkout.root)
    for name, value in {**checkout.environ, **checkout.variables}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit) as ended:
        main()
    said = capfd.readouterr().err
    assert (ended.value.code, checkout.lines) == (70, [START])
    assert [address for address, _ in ours.told] == ["records", "main-left"]
    assert (
        said.splitlines()[-1]
        == "nx-dte: KeyError: 'a fault'; this is a fault of nx-dte, please report it [internal]"
    )


# -------------------------------------------------------------------------------------- nobody
def test_with_nobody_there_every_command_runs_plainly_and_loudly(checkout: Checkout) -> None:
    where = {"NX_CLOUD_API": NOWHERE, "NX_CLOUD_ACCESS_TOKEN": "t", "NX_DTE_PATIENCE": "0.1"}
    ended = checkout.run("orchestrate", "--junit", "tasks.xml", *LINE[1:], **where)
    assert ended.code == 0
    assert checkout.lines == ["yarn nx format:check", f"yarn nx affected -t lint,test --base={checkout.base}"]
    for call in checkout.calls:
        assert [call.environ[name] for name in LOCAL] == ["true", "true"]
        assert call.environ["NX_HEAD"] == checkout.head
    assert "WARNING: http://127.0.0.1:1 does not answer" in ended.log
    assert "NOTHING IS DISTRIBUTED" in ended.log
    assert ended.log.splitlines()[-1].startswith("nx-dte orchestrate: no JUnit report")


def test_switched_off_nobody_is_asked(checkout: Checkout, httpserver: HTTPServer) -> None:
    checkout.on("nx-affected", "exit 4")
    ended = checkout.run(*LINE, NX_CLOUD_API=httpserver.url_for(""), NX_NO_CLOUD="true")
    assert (ended.code, len(checkout.lines), httpserver.log) == (4, 2, [])


@pytest.mark.slow  # starts several processes
def test_gone_before_the_start_it_is_as_if_it_had_never_been_there(checkout: Checkout, ours: Ours) -> None:
    with TcpProxy([("127.0.0.1", ours.server.port)]) as proxy:
        checkout.on(
            "nx-cloud-start-ci-run",
            "touch $FAKE/started; while [ ! -e $FAKE/go ]; do sleep 0.05; done; exit 1",
        )
        started = checkout.start(*LINE, NX_CLOUD_API=proxy.url, NX_DTE_PATIENCE="0.1")
        _wait_for(checkout, "started")
        proxy.is_refusing = True
        (checkout.fake / "go").touch()
        ended = started.end()
    assert ended.code == 0
    assert checkout.lines == [
        START,
        "yarn nx format:check",
        f"yarn nx affected -t lint,test --base={checkout.base}",
    ]


@pytest.mark.slow  # starts several processes
def test_lost_between_two_commands_the_rest_runs_without_until_it_is_back(
    checkout: Checkout, ours: Ours
) -> None:
    hold = "touch $FAKE/{0}; while [ ! -e $FAKE/go-{0} ]; do sleep 0.05; done"
    for name in ("one", "two"):
        checkout.on(f"nx-{name}", hold.format(name))
    with TcpProxy([("127.0.0.1", ours.server.port)]) as proxy:
        where = {"NX_CLOUD_API": proxy.url, "NX_DTE_PATIENCE": "0.1"}
        started = checkout.start(
            "orchestrate", "--run", "nx two", "--run", "nx three", "--", "nx", "one", **where
        )
        for name, is_refusing in (("one", True), ("two", False)):
            _wait_for(checkout, name)
            proxy.is_refusing = is_refusing
            (checkout.fake / f"go-{name}").touch()
        ended = started.end()
    assert ended.code == 0
    assert ["NX_NO_CLOUD" in checkout.call("nx", name).environ for name in ("one", "two", "three")] == [
        False,
        True,
        False,
    ]
    assert "`nx two` IS NOT DISTRIBUTED" in ended.log
    assert checkout.lines[-1] == COMPLETE
    assert "nx-dte: succeeded" in ended.log


@pytest.mark.slow  # starts several processes
def test_lost_for_good_nobody_waits_for_it_at_the_end(checkout: Checkout, ours: Ours) -> None:
    with TcpProxy([("127.0.0.1", ours.server.port)]) as proxy:
        checkout.on("nx-one", "touch $FAKE/one; while [ ! -e $FAKE/go ]; do sleep 0.05; done")
        started = checkout.start(
            "orchestrate", "--", "nx", "one", NX_CLOUD_API=proxy.url, NX_DTE_PATIENCE="0.1"
        )
        _wait_for(checkout, "one")
        proxy.is_refusing = True
        (checkout.fake / "go").touch()
        ended = started.end()
    assert ended.code == 0
    assert checkout.lines == [START, "yarn nx one"]
    assert "WARNING: the CI run could not be ended" in ended.log
    assert "no summary of CI run RUN" in ended.log


# --------------------------------------------------------------------------------- a real Nx Cloud
def test_nx_cloud_gets_its_own_flag_and_no_question_of_ours_beyond_who_it_is(
    checkout: Checkout, foreign: str, httpserver: HTTPServer
) -> None:
    checkout.on("nx-affected", "exit 130")
    ended = checkout.run(*LINE, **GUARD_OFF)
    assert ended.code == 130
    assert checkout.lines == [
        f"{START} --require-explicit-completion",
        "yarn nx-cloud record -- nx format:check",
        f"yarn nx affected -t lint,test --base={checkout.base}",
        COMPLETE,
    ]
    for call in checkout.calls:
        assert call.environ["NX_CLOUD_API"] == foreign
        assert {name for name in call.environ if name.startswith("NX_DTE_")} == {
            "NX_DTE_GUARD_MODE",
            "NX_DTE_JOB_KEY",
        }
    assert {request.path for request, _ in httpserver.log} == {"/api/v1/ci-runs", "/nx-cloud/client/verify"}
    assert all("authorization" not in request.headers for request, _ in httpserver.log)
    assert "summary and test report come from coordinators of nx-dte only" in ended.log


@pytest.mark.slow  # starts several processes
def test_nx_cloud_is_guarded_strictly(checkout: Checkout, foreign: str) -> None:
    refused = checkout.run(*LINE, NX_CLOUD_API=foreign)
    assert (refused.code, checkout.calls) == (78, [])
    assert "nx-dte guard record" in refused.log
    record = {"pipeline_id": "70", "sha": checkout.head, "guard_job_id": "9000"}
    (checkout.root / ".nx-dte").mkdir()
    (checkout.root / ".nx-dte/guard.json").write_text(json.dumps(record))
    assert checkout.run(*LINE, NX_CLOUD_API=foreign).code == 0


# ------------------------------------------------------------------------------------------ details
def test_on_gitlab_each_command_has_a_section(checkout: Checkout, ours: Ours) -> None:
    ended = checkout.run(*LINE, GITLAB_CI="true")
    assert ended.code == 0
    assert ended.log.count("section_start:") == ended.log.count("section_end:") == 3
    assert "[collapsed=true]\r\x1b[0K\x1b[1m$ nx format:check (recorded)\x1b[0m\n" in ended.log
    assert ours.told == []


@pytest.mark.slow  # starts several processes
def test_address_and_token_may_stand_in_nx_json(checkout: Checkout, ours: Ours) -> None:
    settings = {"nxCloudUrl": checkout.variables["NX_CLOUD_API"], "nxCloudAccessToken": "t"}
    checkout.variables.clear()
    (checkout.root / "nx.json").write_text(json.dumps(settings))
    assert checkout.run(*LINE).code == 0
    assert checkout.lines[-1] == COMPLETE
    assert ours.told == []


@pytest.mark.slow  # starts several processes
def test_what_follows_the_commands_first_word_is_the_commands(checkout: Checkout, ours: Ours) -> None:
    assert checkout.run("orchestrate", "nx", "lint", "--fail-fast", "--junit", "x").code == 0
    assert "yarn nx lint --fail-fast --junit x" in checkout.lines
    assert ours.told == []


def _wait_for(checkout: Checkout, name: str) -> None:
    wait_until((checkout.fake / name).exists, 30, f"the tool has made {name}")

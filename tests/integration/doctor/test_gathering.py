"""How facts are found out: programs that hang, folders that refuse, orphans, certificates, locales."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from nx_dte.doctor import Role
from nx_dte.doctor.gathering.inquiry import Inquiry
from nx_dte.doctor.gathering.programs import Programs
from nx_dte.transport import CertificatesUnusableError, certificates_in
from tests.integration.doctor.conftest import Place, executable

GENEROUS_S = 30.0
GOOD_CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBlzCCAT2gAwIBAgIUdrCDJJDlFhjVM5GCWoEpj1e8pecwCgYIKoZIzj0EAwIw
IDEeMBwGA1UEAwwVQW4gYXV0aG9yaXR5IG9mIHRlc3RzMCAXDTI2MTEyNTE5NTkw
MFoYDzIxMjYxMTAxMTk1OTAwWjAgMR4wHAYDVQQDDBVBbiBhdXRob3JpdHkgb2Yg
dGVzdHMwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQB1uwKLDfgsZ+2nJ4nCW7K
vvKIbmlUXSX+o5kjLEXuBTCQqyqIIysxfL+KNPvnt7g5JbU9fd2aBznNTD+MCxVu
o1MwUTAdBgNVHQ4EFgQU6gXtD5kxcxoNYI7NTtT0V45jjwswHwYDVR0jBBgwFoAU
6gXtD5kxcxoNYI7NTtT0V45jjwswDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQD
AgNIADBFAiBW4JQ6QJEHJMeQDcSuT+uFZcJJIQ5hmTgb+GE/tUaFdQIhAMp7+01y
PcRdIw3DaI9a09TftlLpBtNwj3K7FNert1GF
-----END CERTIFICATE-----
"""  # ends in 2126
PAST_CERTIFICATE = """\
-----BEGIN CERTIFICATE-----
MIIBaDCCAQ+gAwIBAgIBATAKBggqhkjOPQQDAjAkMSIwIAYDVQQDDBlBIHBhc3Qg
YXV0aG9yaXR5IG9mIHRlc3RzMB4XDTIwMDEwMTAwMDAwMFoXDTIwMDIwMTAwMDAw
MFowJDEiMCAGA1UEAwwZQSBwYXN0IGF1dGhvcml0eSBvZiB0ZXN0czBZMBMGByqG
SM49AgEGCCqGSM49AwEHA0IABPw7lw2gp6u7hWF3oNTe3gJKbQTELG/0kGX6Nxop
vT0Bk0z3an/dhFXT3oH5Zu/G/fG3cMeIqf8HCu0iJhTBeGujMjAwMA8GA1UdEwEB
/wQFMAMBAf8wHQYDVR0OBBYEFOcAUAiEAcQ6ghKYacWhQ5kBPz6uMAoGCCqGSM49
BAMCA0cAMEQCIEMMp62Fp9n3Xrg/k7kqZ4JslTmy1Vfs9tTt4VVF4D6tAiASaQzX
VKP4LoT1KUlj1u4+/8Unhz1HVbfTmrPbN8Cfgg==
-----END CERTIFICATE-----
"""  # ended in 2020


def programs(folder: Path, *, timeout_s: float = GENEROUS_S) -> Programs:
    return Programs(environ={"PATH": f"{folder}:{os.environ['PATH']}"}, deadline=time.monotonic() + timeout_s)


# ------------------------------------------------------------------------------------------ inquiry
def test_nobody_is_waited_for_beyond_the_deadline() -> None:
    done = threading.Event()
    try:
        inquiry = Inquiry(0.2)
        hanging = [inquiry.ask(lambda: done.wait(GENEROUS_S)) for _ in range(5)]
        assert [pending.result(False) for pending in hanging] == [False] * 5
    finally:
        done.set()


def test_an_answer_that_comes_in_time() -> None:
    assert Inquiry(GENEROUS_S).ask(lambda: 42).result(0) == 42


def test_what_goes_wrong_is_raised_where_it_is_waited_for() -> None:
    def fail() -> int:
        raise ZeroDivisionError

    pending = Inquiry(GENEROUS_S).ask(fail)
    with pytest.raises(ZeroDivisionError):
        pending.result(0)


# ----------------------------------------------------------------------------------------- programs
def test_a_programs_version(tmp_path: Path) -> None:
    executable(tmp_path / "tool", 'echo "tool version v1.22.3 (of today)"')
    found = programs(tmp_path).named("tool")
    assert (found.path, found.version, found.problem) == (str(tmp_path / "tool"), "1.22.3", None)


def test_one_that_is_not_there(tmp_path: Path) -> None:
    assert programs(tmp_path).named("no-such-tool").path is None


@pytest.mark.parametrize(
    ("script", "problem"),
    [
        ("echo 'error: no network' >&2; exit 3", "error: no network"),
        ("exit 3", "exit code 3"),
        ("echo nothing", "exit code 0"),
    ],
)
def test_one_that_does_not_say_its_version(tmp_path: Path, script: str, problem: str) -> None:
    executable(tmp_path / "tool", script)
    found = programs(tmp_path).named("tool")
    assert (found.version, found.problem) == (None, problem)


def test_one_that_cannot_be_started(tmp_path: Path) -> None:
    (tmp_path / "tool").write_bytes(b"\x7fELF, but of no machine")
    (tmp_path / "tool").chmod(0o755)
    found = programs(tmp_path).named("tool")
    assert (found.version, bool(found.problem)) == (None, True)


@pytest.mark.slow
def test_one_that_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    executable(tmp_path / "tool", f'sleep 600 & echo $! >"{tmp_path}/child"; wait')
    found = programs(tmp_path, timeout_s=4.0).named("tool")
    assert "did not end within" in str(found.problem)
    assert found.is_late
    child = Path("/proc") / (tmp_path / "child").read_text().strip()
    deadline = time.monotonic() + GENEROUS_S
    while child.exists() and "\nState:\tZ" not in (child / "status").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_stubs_are_told_not_to_download(tmp_path: Path) -> None:
    executable(tmp_path / "yarn", 'echo "1.$COREPACK_ENABLE_NETWORK"')
    assert programs(tmp_path).named("yarn").version == "1.0"


# ------------------------------------------------------------------------------------------ orphans
AS_PARENT_OF_ORPHANS = """
import ctypes, os, sys, time
from nx_dte.doctor.gathering.orphans import is_reaping
from nx_dte.doctor.gathering.programs import Programs

assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0  # PR_SET_CHILD_SUBREAPER: orphans come to this process

def ask():
    programs = Programs(environ=dict(os.environ), deadline=time.monotonic() + 30)
    print(is_reaping(programs, patience_s=float(sys.argv[2])), flush=True)

if sys.argv[1] == "careless":
    ask()
else:
    child = os.fork()
    if child == 0:
        ask()
        os._exit(0)
    while os.waitpid(-1, 0)[0] != child:
        pass
"""


@pytest.mark.parametrize(
    ("parent", "patience_s", "answer"), [("careless", "0.5", "False"), ("careful", "25", "True")]
)
def test_who_waits_for_orphans(parent: str, patience_s: str, answer: str) -> None:
    said = subprocess.run(
        [sys.executable, "-c", AS_PARENT_OF_ORPHANS, parent, patience_s],
        capture_output=True,
        text=True,
        timeout=GENEROUS_S * 2,
        check=True,
    )
    assert said.stdout.strip() == answer


# ------------------------------------------------------------------------------------- certificates
@pytest.mark.parametrize(
    ("text", "count", "expired"),
    [
        (GOOD_CERTIFICATE, 1, 0),
        (PAST_CERTIFICATE, 1, 1),
        (f"# ours\n{GOOD_CERTIFICATE}\n{PAST_CERTIFICATE}", 2, 1),
    ],
)
def test_a_file_of_certificates(tmp_path: Path, text: str, count: int, expired: int) -> None:
    file = tmp_path / "ca.pem"
    file.write_text(text)
    held = certificates_in(file)
    assert (held.count, held.expired) == (count, expired)


@pytest.mark.parametrize("text", ["", "<html>Not found</html>", GOOD_CERTIFICATE[:200]])
def test_a_file_that_holds_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "ca.pem"
    file.write_text(text)
    with pytest.raises(CertificatesUnusableError, match="no certificate"):
        certificates_in(file)


def test_certificate_files_of_a_job(place: Place, tmp_path: Path) -> None:
    good, missing = tmp_path / "good.pem", tmp_path / "missing.pem"
    good.write_text(GOOD_CERTIFICATE)
    found = place.facts(NODE_EXTRA_CA_CERTS=str(good), SSL_CERT_FILE=str(missing)).machine.certificates
    assert [(file.variable, file.count, file.problem) for file in found] == [
        ("NODE_EXTRA_CA_CERTS", 1, None),
        ("SSL_CERT_FILE", 0, "No such file or directory"),
    ]


# ------------------------------------------------------------------------------------------ machine
def test_folders(place: Place) -> None:
    machine = place.facts().machine
    assert machine.uid == os.geteuid()
    assert (machine.home.path, machine.home.is_writable, machine.home.free_bytes > 0) == (
        place.home,
        True,
        True,
    )
    assert machine.temp.path == place.home
    assert list(place.home.iterdir()) == [place.bin_folder]  # trying it out leaves nothing behind
    assert machine.umask is not None


def test_folders_that_are_none(place: Place, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    machine = place.facts(HOME=str(tmp_path / "nowhere"), TMPDIR=str(tmp_path / "file")).machine
    assert (machine.home.is_there, machine.home.is_writable) == (False, False)
    assert (machine.temp.is_there, machine.temp.is_writable) == (True, False)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variables", "status", "words"),
    [
        ({"LANG": "C.UTF-8"}, "ok", "LANG=C.UTF-8"),
        ({"LANG": "C.UTF-8", "LC_ALL": "C"}, "note", "LC_ALL=C is not UTF-8"),
        ({"LANG": "C"}, "note", "LANG=C is not UTF-8"),
        ({"LANG": ""}, "note", "LANG is not set"),
        ({"LANG": "xx_XX.UTF-8"}, "note", "not installed"),
    ],
)
def test_locales_are_those_of_the_job_not_pythons(
    place: Place, variables: dict[str, str], status: str, words: str
) -> None:
    found = place.checks(**variables)["locale"]
    assert (found["status"], words in found["found"]) == (status, True)


# --------------------------------------------------------------------------------------------- host
def host(place: Place, docker: str) -> Place:
    executable(place.bin_folder / "docker", docker)
    executable(place.bin_folder / "gitlab-runner", 'printf "Version:      17.5.0\\nGit revision: 1"')
    return place


def test_a_host_with_an_engine(place: Place) -> None:
    script = 'case "$1" in version) echo 28.0.1 ;; *) echo "Docker version 28.0.1, build 1" ;; esac'
    facts = host(place, script).facts(Role.HOST, DOCKER_HOST="tcp://127.0.0.1:1")
    assert (facts.engine.version, facts.engine.has_socket) == ("28.0.1", None)
    assert (facts.programs["docker"].version, facts.programs["gitlab-runner"].version) == ("28.0.1", "17.5.0")


def test_an_engine_that_does_not_answer(place: Place) -> None:
    script = '[ "$1" = --version ] && { echo 28.0.1; exit 0; }; echo "error: is it running?" >&2; exit 1'
    facts = host(place, script).facts(Role.HOST, DOCKER_HOST="tcp://127.0.0.1:1")
    assert (facts.engine.version, facts.engine.problem) == (None, "error: is it running?")


def test_no_socket_means_no_question(place: Place, tmp_path: Path) -> None:
    facts = host(place, "echo 28.0.1").facts(Role.HOST, DOCKER_HOST=f"unix://{tmp_path}/no.sock")
    assert (facts.engine.has_socket, facts.engine.version) == (False, None)


def test_an_images_trusted_checkouts(place: Place, tmp_path: Path) -> None:
    config = tmp_path / "gitconfig"
    assert place.facts(Role.IMAGE).trusted_checkouts == ()
    config.write_text('[safe]\n\tdirectory = /builds/demo\n\tdirectory =\n\tdirectory = "*"\n')
    facts = place.facts(Role.IMAGE, GIT_CONFIG_SYSTEM=str(config))
    assert facts.trusted_checkouts == ("/builds/demo", "", "*")

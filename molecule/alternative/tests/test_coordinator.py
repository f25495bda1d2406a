"""What the bundle made of the coordinator's host: PostgreSQL, a certificate of one's own, other ports and folders."""

from __future__ import annotations

import json
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from testinfra.host import Host

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]
testinfra_hosts = ["ansible://nx_dte_coordinator"]

CA = Path(__file__).resolve().parents[3] / ".cache/molecule/alternative/ca.pem"
NAME, ADDRESS, PORT = "dte.alternative.test", "10.91.3.30", 8443


def _ask(path: str, context: ssl.SSLContext) -> str:
    with context.wrap_socket(socket.socket(), server_hostname=NAME) as connection:
        connection.settimeout(30)
        connection.connect((ADDRESS, PORT))
        connection.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {NAME}:{PORT}\r\nConnection: close\r\n\r\n".encode()
        )
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer.decode()


@pytest.mark.parametrize("name", ["nx-dte-coordinator", "caddy", "docker"])
def test_services_run(host: Host, name: str) -> None:
    assert host.service(name).is_running, host.run(f"journalctl -u {name} -n 30 --no-pager").stdout
    assert host.service(name).is_enabled


def test_it_is_ready_behind_the_certificate_of_one_s_own() -> None:
    answer = _ask("/readyz", ssl.create_default_context(cafile=str(CA)))
    assert " 200 " in answer.splitlines()[0], answer
    assert '"ready"' in answer


def test_nobody_else_vouches_for_it() -> None:
    with pytest.raises(ssl.SSLCertVerificationError):
        _ask("/readyz", ssl.create_default_context())


def test_its_facts_are_in_postgresql(host: Host) -> None:
    query = "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'"
    found = host.run(
        f'runuser --user=postgres -- psql --dbname=nx_dte --tuples-only --no-align --command="{query}"'
    )
    assert int(found.stdout) > 5, found.stderr
    assert not host.file("/srv/nx-dte/coordinator.sqlite3").exists


@pytest.mark.parametrize("port", [8820, 8821])
def test_only_the_proxy_reaches_it_without_tls(host: Host, port: int) -> None:
    assert host.socket(f"tcp://127.0.0.1:{port}").is_listening
    assert not host.socket(f"tcp://0.0.0.0:{port}").is_listening


def test_no_secret_is_an_argument_or_for_all_to_read(host: Host) -> None:
    secrets = ("read-write-token-of", "of-the-alternative")
    assert not any(secret in host.run("ps -eo args").stdout for secret in secrets)
    told = json.loads(host.run("docker inspect $(docker ps --quiet)").stdout)[0]
    assert not any(secret in json.dumps(told["Config"]["Env"]) for secret in secrets)


def test_backups_are_planned(host: Host) -> None:
    timers = host.run("systemctl list-timers --all --plain --no-legend").stdout
    assert "backup" in timers

"""What the playbook made of the coordinator's host."""

from __future__ import annotations

import os
import socket
import ssl
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from testinfra.host import Host

testinfra_hosts = ["ansible://nx_dte_coordinator"]

ADDRESS = "10.91.2.30"


def test_the_coordinator_answers_behind_tls_only(host: Host) -> None:
    assert host.service("nx-dte-coordinator").is_running
    assert host.service("caddy").is_running
    assert host.socket("tcp://127.0.0.1:8720").is_listening
    assert not host.socket("tcp://0.0.0.0:8720").is_listening


def test_the_fetched_certificate_vouches_for_the_coordinator() -> None:
    ca_file = Path(os.environ["MOLECULE_EPHEMERAL_DIRECTORY"]) / "coordinator-ca.pem"
    context = ssl.create_default_context(cafile=str(ca_file))
    with context.wrap_socket(socket.socket(), server_hostname="dte.test") as connection:
        connection.settimeout(30)
        connection.connect((ADDRESS, 443))
        connection.sendall(b"GET /readyz HTTP/1.1\r\nHost: dte.test\r\nConnection: close\r\n\r\n")
        assert b"200 OK" in connection.recv(4096)

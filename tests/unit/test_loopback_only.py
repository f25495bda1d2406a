"""The tests' own fence: nothing but loopback can be reached or resolved."""

import socket

import pytest


def test_another_host_is_refused_before_a_packet_leaves() -> None:
    with socket.socket() as sock, pytest.raises(PermissionError, match="loopback only"):
        sock.connect(("192.0.2.1", 80))
    with pytest.raises(PermissionError, match="loopback only"):
        socket.getaddrinfo("example.invalid", 80)


def test_loopback_works() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as client,
    ):
        assert client.getpeername() == server.getsockname()

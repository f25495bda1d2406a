"""What holds for every test: a clean product environment, no network but loopback, no unexplained skip."""

import ipaddress
import os
import socket
import sys
from pathlib import Path

import pytest

pytest_plugins = ["tests.support.skip_policy", "tests.support.databases"]

# Wiped when this file is read, before anything of the product is imported: a setting in the developer's shell or in
# the CI job that runs the tests must not reach them.
PRODUCT_PREFIXES = ("NX_", "CI_", "GITLAB_")
# A setting of the tests themselves: the program that tests/acceptance/test_real_runner.py is to try.
KEPT = {"GITLAB_RUNNER_BIN"}
for _name in [name for name in os.environ if name.startswith(PRODUCT_PREFIXES) and name not in KEPT]:
    del os.environ[_name]


def _is_loopback(host: object) -> bool:
    """Whether a host, as sockets know it, stays on this machine."""
    if host is None or host in {"", b"", "localhost", b"localhost"}:
        return True
    text = host.decode() if isinstance(host, bytes) else str(host)
    try:
        return ipaddress.ip_address(text.partition("%")[0]).is_loopback or text in {"0.0.0.0", "::"}  # noqa: S104
    except ValueError:
        return False


def _forbid_network(event: str, args: tuple[object, ...]) -> None:
    """Audit hook: refuse to reach, or even resolve, anything but loopback."""
    if event in {"socket.connect", "socket.sendto"}:
        family = getattr(args[0], "family", None)
        address = args[1]
        host = address[0] if isinstance(address, tuple) and address else None
        allowed = family == socket.AF_UNIX or _is_loopback(host)
    elif event == "socket.getaddrinfo":
        host = args[0]
        allowed = _is_loopback(host)
    else:
        return
    if not allowed:
        raise PermissionError(f"tests may use loopback only, not {host!r}")


sys.addaudithook(_forbid_network)


@pytest.fixture(scope="session")
def repository_root() -> Path:
    """The folder that holds pyproject.toml."""
    return Path(__file__).resolve().parent.parent

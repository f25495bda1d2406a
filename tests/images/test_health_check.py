"""The coordinator's health check: what it makes of each answer, and of none."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


def _checked(root: Path, listen: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-S", root / "images/coordinator/healthcheck.py"],
        env={**os.environ, "NX_DTE_LISTEN": listen},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _answer(server: socket.socket, answer: bytes, asked: list[bytes]) -> None:
    with server.accept()[0] as client:
        client.settimeout(30)
        asked.append(client.recv(4096))
        client.sendall(answer)


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", 0, ""),
        (b"HTTP/1.1 503 no\r\nContent-Length: 16\r\n\r\nno such database", 1, "HTTP 503: no such database\n"),
        (b"SSH-2.0-something\r\n", 1, "cannot be understood"),
    ],
)
def test_only_a_good_answer_is_health(repository_root: Path, answer: bytes, code: int, said: str) -> None:
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        answering = threading.Thread(target=_answer, args=(server, answer, asked), daemon=True)
        answering.start()
        done = _checked(repository_root, f"0.0.0.0:{port}")
        answering.join(30)
    assert asked[0].startswith(b"GET /readyz HTTP/1.1\r\n")
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_nobody_there_is_said_in_words(repository_root: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    done = _checked(repository_root, f"127.0.0.1:{port}")
    assert done.returncode == 1
    assert done.stderr.startswith(f"nobody answers on 127.0.0.1:{port}: ")

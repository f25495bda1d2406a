"""A PostgreSQL server of the tests' own: on loopback, with data in a temporary folder, never as root.

    with PostgresServer.new(programs) as server, server.database() as name:
        server.url(name)
        server.restart()

`stop`, `start`, `restart` and `kill` act on the process by its id. A server whose test process dies goes too.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

import psycopg
from psycopg import sql

from toolchain.postgresql import find_programs, library_folders

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["PostgresServer", "Programs", "find_server"]

USER = "nx_dte"
_UNPRIVILEGED = 65534  # nobody, nogroup
_PORTS = range(20_000, 32_000)  # below those that Linux gives out by itself
_START_S = 60.0
_STOP_S = 30.0
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "32MB",
    "max_connections": "200",
    "timezone": "GMT",  # the one zone that needs no files
    "log_timezone": "GMT",
}
# Ends the server when the process that started it is gone, however it went: its end of the pipe is then closed.
_WATCHER = 'read -r _; kill -QUIT "$1"; while kill -0 "$1"; do sleep 0.1; done; rm -rf "$2"'
_ids = itertools.count(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Programs:
    """Where PostgreSQL's programs and the libraries they need lie."""

    folder: Path
    libraries: tuple[Path, ...]

    def environment(self) -> dict[str, str]:
        """For running them; nothing of this process's own settings of PostgreSQL."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        if self.libraries:
            kept["LD_LIBRARY_PATH"] = os.pathsep.join(map(str, self.libraries))
        return {**kept, "LC_ALL": "C"}


def find_server(root: Path) -> Programs | None:
    """The system's PostgreSQL, or the one that `make setup` unpacked under `root`."""
    unpacked = root / ".cache/toolchain/postgresql"
    folder = find_programs(unpacked)
    if folder is None:
        return None
    libraries = library_folders(unpacked) if folder.is_relative_to(unpacked) else []
    return Programs(folder=folder, libraries=tuple(libraries))


def _free_port() -> int:
    """A port that no outgoing connection gets by chance while the server is down."""
    for port in random.sample(_PORTS, 200):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("there is no free port for PostgreSQL")


def _identity() -> dict[str, object]:
    """PostgreSQL refuses to run as root; nobody may do it for him."""
    if os.geteuid() != 0:
        return {}
    return {"user": _UNPRIVILEGED, "group": _UNPRIVILEGED, "extra_groups": []}


@dataclass(slots=True, kw_only=True)
class PostgresServer:
    """A server. A context manager; use from any thread."""

    programs: Programs
    folder: Path
    port: int = field(default_factory=_free_port)
    password: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    _process: subprocess.Popen[bytes] | None = None
    _watcher: subprocess.Popen[bytes] | None = None

    @classmethod
    def new(cls, programs: Programs) -> Self:
        """One with fresh data, not yet started."""
        folder = Path(tempfile.mkdtemp(prefix="nx-dte-postgresql-"))
        if os.geteuid() == 0:
            os.chown(folder, _UNPRIVILEGED, _UNPRIVILEGED)
        server = cls(programs=_reachable(programs, folder), folder=folder)
        server._make_data()
        return server

    def _make_data(self) -> None:
        secret = self.folder / "password"
        secret.write_text(self.password)
        secret.chmod(0o644)  # the folder itself is private
        options = ["--no-sync", "--encoding=UTF8", "--locale=C", "--auth=scram-sha-256", f"--pwfile={secret}"]
        done = subprocess.run(
            [str(self.programs.folder / "initdb"), *options, f"--username={USER}", str(self.data)],
            cwd=self.folder,
            env=self.programs.environment(),
            capture_output=True,
            text=True,
            check=False,
            **_identity(),  # type: ignore[call-overload]
        )
        assert done.returncode == 0, f"initdb failed: {done.stderr}"
        secret.unlink()

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.folder / "data"

    @property
    def log(self) -> str:
        """What the server said."""
        return (self.folder / "log").read_text(errors="replace")

    @property
    def pid(self) -> int:
        """The server's process id."""
        assert self._process is not None, "the server was not started"
        return self._process.pid

    def url(self, database: str = "postgres", *, password: str | None = None, port: int | None = None) -> str:
        """What the coordinator takes as its database_url; the port may be that of a proxy."""
        secret = quote(password or self.password, safe="")
        return f"postgresql://{USER}:{secret}@127.0.0.1:{port or self.port}/{database}"

    # ----------------------------------------------------------------------------------------- process
    def start(self) -> None:
        """Start it and wait until it answers."""
        self._launch()
        deadline = time.monotonic() + _START_S
        while not self._answers():
            assert time.monotonic() < deadline, f"PostgreSQL did not start: {self.log}"
            assert self._process is not None
            if self._process.poll() is not None:
                # After `kill` the children of the former server need a moment to notice and to let go.
                assert "shared memory block" in self.log, f"PostgreSQL ended: {self.log}"
                self.stop()
                self._launch()
            time.sleep(0.02)

    def _launch(self) -> None:
        options = [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    str(self.programs.folder / "postgres"),
                    "-D",
                    str(self.data),
                    "-p",
                    str(self.port),
                    *options,
                ],
                cwd=self.folder,
                env=self.programs.environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **_identity(),  # type: ignore[call-overload]
            )
        command = ["sh", "-c", _WATCHER, "sh", str(self._process.pid), str(self.folder)]
        self._watcher = subprocess.Popen(
            command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )

    def _answers(self) -> bool:
        with contextlib.suppress(psycopg.OperationalError), self.connect():
            return True
        return False

    def stop(self, number: int = signal.SIGINT) -> None:
        """End it: SIGINT cuts every session in order, SIGQUIT at once, SIGKILL without a word."""
        if self._process is None or self._watcher is None:
            return
        self._watcher.kill()
        self._watcher.wait(_STOP_S)
        assert self._watcher.stdin is not None
        self._watcher.stdin.close()
        if self._process.poll() is None:
            self._process.send_signal(number)
        self._process.wait(_STOP_S)
        self._process = self._watcher = None

    def restart(self, number: int = signal.SIGINT) -> None:
        """Stop and start, on the same port."""
        self.stop(number)
        self.start()

    def kill(self) -> None:
        """As if its machine had lost power; its children notice and go."""
        self.stop(signal.SIGKILL)

    def close(self) -> None:
        """Stop it and remove its data."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        """Stop, and remove everything."""
        self.close()

    # --------------------------------------------------------------------------------------- databases
    def connect(self, database: str = "postgres") -> psycopg.Connection[tuple[object, ...]]:
        """A connection that commits each statement."""
        return psycopg.connect(self.url(database), autocommit=True, connect_timeout=5)

    def _run(self, statement: str, *names: str) -> None:
        with self.connect() as connection:
            connection.execute(sql.SQL(statement).format(*map(sql.Identifier, names)))

    def create_database(self, template: str = "template0") -> str:
        """A database of its own, copied from the template; its name."""
        name = f"test_{os.getpid()}_{next(_ids)}"
        self._run("CREATE DATABASE {} TEMPLATE {}", name, template)
        return name

    def drop_database(self, name: str) -> None:
        """Remove it, whoever uses it."""
        self._run("DROP DATABASE {} WITH (FORCE)", name)

    @contextlib.contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """A database for the time of the block; its name."""
        name = self.create_database(template)
        try:
            yield name
        finally:
            self.drop_database(name)


def _reachable(programs: Programs, folder: Path) -> Programs:
    """The programs, copied beside the data when whoever runs the server may not reach them (a checkout under /root)."""
    run = [str(programs.folder / "postgres"), "--version"]
    with contextlib.suppress(OSError):
        done = subprocess.run(
            run,
            cwd="/",
            env=programs.environment(),
            capture_output=True,
            check=False,
            **_identity(),  # type: ignore[call-overload]
        )
        if done.returncode == 0:
            return programs
    unpacked = programs.folder.parents[4]  # FOLDER/usr/lib/postgresql/15/bin
    copied = folder / "programs"
    shutil.copytree(unpacked, copied, symlinks=True)
    return Programs(
        folder=copied / programs.folder.relative_to(unpacked),
        libraries=tuple(copied / library.relative_to(unpacked) for library in programs.libraries),
    )

"""A checkout whose `nx`, `nx-cloud` and `yarn` are small scripts: they write down how they were called, then do as told."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Call", "Checkout", "Ended", "Started", "make_checkout", "make_repository"]

END_S = 50.0

# Called as yarn, nx or nx-cloud. A call is written down whole or not at all; `$FAKE/on/<name>[-<first word>]` is sourced.
TOOL = r"""#!/bin/sh
name=$(basename "$0")
call="$FAKE/calls/$(date +%s%N)-$$"
{ printf '%s\n' "$name" "$@"; } > "$call.argv"
env > "$call.env"
mv "$call.argv" "$call"
if [ "$name" = yarn ]; then exec "$@"; fi
for told in "$FAKE/on/$name-$1" "$FAKE/on/$name"; do
  if [ -e "$told" ]; then . "$told"; exit; fi
done
exit 0
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """How a tool was called."""

    words: tuple[str, ...]
    environ: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a command of ours ended."""

    code: int
    log: str
    """Both streams, as a job's log has them."""
    took_s: float


@dataclass(slots=True, kw_only=True)
class Started:
    """A command of ours while it runs."""

    process: subprocess.Popen[bytes]
    fake: Path
    told_at: float = 0.0

    def tell(self, number: signal.Signals = signal.SIGTERM, *, all_at_once: bool = False) -> None:
        """Signal the command alone, or everything of its job at once, as a container's runtime does."""
        pids = [*self.processes, self.process.pid] if all_at_once else [self.process.pid]
        self.told_at = time.monotonic()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def end(self) -> Ended:
        """Wait for its end; `took_s` counts from the signal."""
        log, _ = self.process.communicate(timeout=END_S)
        return Ended(code=self.process.returncode, log=log.decode(), took_s=time.monotonic() - self.told_at)

    @property
    def processes(self) -> set[int]:
        """Everything of the job but the command itself."""
        wanted = f"FAKE={self.fake}".encode()
        found = set()
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                if int(folder.name) != self.process.pid and wanted in (folder / "environ").read_bytes().split(
                    b"\0"
                ):
                    found.add(int(folder.name))
        return found


@dataclass(slots=True, kw_only=True)
class Checkout:
    """The checkout, what the tools are told, and what they wrote down."""

    root: Path
    fake: Path
    base: str
    head: str
    variables: dict[str, str] = field(default_factory=dict)
    running: list[Started] = field(default_factory=list)

    def on(self, name: str, script: str) -> None:
        """What a tool does, by its name and first word: `nx-cloud-record`, `nx-affected`, or just `nx`."""
        (self.fake / "on" / name).write_text(script, encoding="utf-8")

    @property
    def calls(self) -> list[Call]:
        """All calls so far, in order."""
        files = sorted(file for file in (self.fake / "calls").iterdir() if not file.suffix)
        return [
            Call(
                words=tuple(file.read_text(encoding="utf-8").splitlines()),
                environ=dict(
                    line.split("=", 1)
                    for line in file.with_name(f"{file.name}.env").read_text(encoding="utf-8").splitlines()
                    if "=" in line
                ),
            )
            for file in files
        ]

    @property
    def lines(self) -> list[str]:
        """The calls of the package manager, as lines."""
        return [" ".join(call.words) for call in self.calls if call.words[0] == "yarn"]

    def call(self, *words: str) -> Call:
        """The only call that begins with these words."""
        (found,) = [call for call in self.calls if call.words[: len(words)] == words]
        return found

    def start(self, *arguments: str, **variables: str) -> Started:
        """Start `nx-dte …` in the checkout, with a job's environment."""
        process = subprocess.Popen(
            [sys.executable, "-m", "nx_dte", *arguments],
            cwd=self.root,
            env={**self.environ, **self.variables, **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        started = Started(process=process, fake=self.fake, told_at=time.monotonic())
        self.running.append(started)
        return started

    def run(self, *arguments: str, **variables: str) -> Ended:
        """Run `nx-dte …` to its end."""
        return self.start(*arguments, **variables).end()

    @property
    def environ(self) -> dict[str, str]:
        """A job's environment: the tools on PATH, and what GitLab says, as far as it matters here."""
        return {
            "PATH": f"{self.fake}/bin:{os.environ['PATH']}",
            "HOME": str(self.fake),
            "FAKE": str(self.fake),
            "CI_PIPELINE_ID": "70",
            "CI_JOB_ID": "9001",
            "CI_JOB_NAME": "nx-dte",
            "CI_COMMIT_SHA": self.head,
            "CI_COMMIT_BEFORE_SHA": self.base,
            "CI_COMMIT_BRANCH": "main",
            "CI_DEFAULT_BRANCH": "main",
            "CI_PROJECT_DIR": str(self.root),
            "PYTHONPATH": os.pathsep.join(sys.path),
        }

    def close(self) -> None:
        """End whatever a failed test has left."""
        for started in self.running:
            for pid in started.processes:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if started.process.poll() is None:
                started.process.kill()
            started.process.communicate()


def make_repository(root: Path) -> None:
    """A git checkout with two commits."""
    root.mkdir()
    (root / "nx.json").write_text("{}\n")
    _git(root, "init", "-q", "--initial-branch=main")
    _git(root, "add", "nx.json")
    _commit(root, "One")
    (root / "more").write_text("more\n")
    _git(root, "add", "more")
    _commit(root, "Two")


def make_checkout(folder: Path, repository: Path) -> Checkout:
    """A copy of the repository with a lock file of yarn, and with the tools in node_modules."""
    root, fake = folder / "checkout", folder / "fake"
    shutil.copytree(repository, root)
    for part in (
        root / "node_modules/.bin",
        root / "node_modules/nx",
        fake / "calls",
        fake / "on",
        fake / "bin",
    ):
        part.mkdir(parents=True)
    (root / "yarn.lock").write_text("__metadata:\n  version: 8\n")
    (root / "node_modules/nx/package.json").write_text('{"version": "20.8.4"}\n')
    for tool in (root / "node_modules/.bin/nx", root / "node_modules/.bin/nx-cloud", fake / "bin/yarn"):
        tool.write_text(TOOL)
        tool.chmod(0o755)
    head, base = _git(root, "log", "--format=%H").split()
    return Checkout(root=root, fake=fake, base=base, head=head)


def _commit(root: Path, message: str) -> None:
    identity = ("-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false")
    _git(root, *identity, "commit", "-q", "-m", message)


def _git(root: Path, *arguments: str) -> str:
    environ = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    return subprocess.run(
        ["git", *arguments], cwd=root, env=environ, capture_output=True, text=True, timeout=30, check=True
    ).stdout.strip()

"""Runs git in a checkout of whatever owner, with a deadline, and without ever showing a credential."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from nx_dte.errors import EXIT_CONFIGURATION, NxDteError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

__all__ = ["Git", "GitFailedError", "NotACheckoutError"]

LOCAL_TIMEOUT_S = 60.0
_END_S = 3.0
_CREDENTIALS = re.compile(r"(?<=://)[^/\s@]+@")
# Of what is inherited, these would point git at another repository than the checkout.
_MISLEADING = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_NAMESPACE")


class NotACheckoutError(NxDteError):
    """There is no git checkout."""

    code: ClassVar[str] = "not_a_checkout"
    exit_code: ClassVar[int] = EXIT_CONFIGURATION


class GitFailedError(NxDteError):
    """A git command failed, or took too long."""

    code: ClassVar[str] = "git_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Git:
    """git in one checkout. Network commands share one deadline; local ones have their own."""

    root: Path
    """The checkout's top folder."""
    environ: Mapping[str, str] = field(repr=False)
    network_deadline: float
    """On the monotonic clock: nothing is fetched after it."""
    remote_url: str | None = field(default=None, repr=False)
    """Where to fetch from when `origin` cannot be used: CI_REPOSITORY_URL."""
    now: Callable[[], float] = time.monotonic

    @classmethod
    def open(
        cls,
        directory: Path,
        environ: Mapping[str, str],
        *,
        fetch_timeout_s: float,
        remote_url: str | None = None,
    ) -> Git:
        """Git for the checkout that `directory` is in.

        Raises:
            NotACheckoutError: `directory` is in no checkout, or git is not installed.
        """
        if shutil.which("git", path=environ.get("PATH")) is None:
            raise NotACheckoutError("git is not installed; install it in the job's image")
        root = _root_of(directory)
        if root is None:
            raise NotACheckoutError(
                f"{directory} is not inside a git checkout; run this where the job has checked out its project, and "
                'not with GIT_STRATEGY "none"'
            )
        deadline = time.monotonic() + fetch_timeout_s
        git = cls(
            root=root,
            environ=_environment(environ, root),
            network_deadline=deadline,
            remote_url=remote_url,
        )
        try:
            git.run("rev-parse", "--git-dir")
        except GitFailedError as error:
            raise NotACheckoutError(f"git cannot use the checkout in {root}: {error.message}") from error
        return git

    def run(self, *arguments: str, timeout_s: float = LOCAL_TIMEOUT_S) -> str:
        """What the command prints, stripped.

        Raises:
            GitFailedError: it ended with another code than 0, or not in time.
        """
        process = subprocess.Popen(
            ["git", *arguments],
            cwd=self.root,
            env=dict(self.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # a fetch has children: they end with it
        )
        try:
            output, said = process.communicate(timeout=max(timeout_s, 0.0))
        except subprocess.TimeoutExpired:
            raise GitFailedError(f"git {arguments[0]} did not end within {timeout_s:.0f} s") from None
        finally:
            _end(process)
        if process.returncode != 0:
            raise GitFailedError(f"git {arguments[0]}: {_complaint(said) or f'code {process.returncode}'}")
        return output.strip()

    def succeeds(self, *arguments: str) -> bool:
        """Whether the command ends with 0."""
        return self.asked(*arguments) is not None

    def asked(self, *arguments: str) -> str | None:
        """What the command prints; None when it fails."""
        try:
            return self.run(*arguments)
        except GitFailedError:
            return None

    def over_network(self, command: str, options: tuple[str, ...], wanted: tuple[str, ...]) -> str:
        """A command that speaks to the remote: `origin`, or the address that GitLab gave, whichever answers.

        Raises:
            GitFailedError: neither answered, or the deadline is near.
        """
        failures = []
        for remote in ("origin", self.remote_url):
            if remote is None:
                continue
            left_s = self.network_deadline - self.now()
            if left_s <= 0:
                failures.append("no time is left for fetching")
                break
            try:
                return self.run(command, *options, remote, *wanted, timeout_s=left_s)
            except GitFailedError as error:
                failures.append(error.message)
        raise GitFailedError("; ".join(dict.fromkeys(failures)))


def _complaint(said: str) -> str:
    """The line that says what is wrong: git's own if there is one, without any credential."""
    lines = [line.strip() for line in _CREDENTIALS.sub("", said).splitlines() if line.strip()]
    return next((line for line in lines if line.startswith(("fatal:", "error:"))), lines[-1] if lines else "")


def _root_of(directory: Path) -> Path | None:
    """Looked for by hand: git itself refuses to answer in a checkout of another owner."""
    start = directory.resolve()
    return next((folder for folder in (start, *start.parents) if (folder / ".git").exists()), None)


def _environment(environ: Mapping[str, str], root: Path) -> dict[str, str]:
    """The job's environment, with settings for these commands only."""
    inherited = {name: value for name, value in environ.items() if name not in _MISLEADING}
    count = inherited.get("GIT_CONFIG_COUNT", "0")
    first = int(count) if count.isdecimal() else 0
    settings = {
        # A runner makes checkouts as another user: git would refuse to work in this one.
        "safe.directory": str(root),
        # No maintenance in the background: it would outlive this command.
        "gc.auto": "0",
        "maintenance.auto": "false",
        "fetch.writeCommitGraph": "false",
    }
    config = {"GIT_CONFIG_COUNT": str(first + len(settings))}
    for number, (key, value) in enumerate(settings.items(), first):
        config |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return {**inherited, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", **config}


def _end(process: subprocess.Popen[str]) -> None:
    """Whatever is left of the command, its children too; politely first, so that git takes its lock files away."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=_END_S)

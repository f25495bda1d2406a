"""The runner as a program, with the real one's commands: `run`, `register`, `verify`, `unregister`, `list`, `lint`."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.runner.version import described

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.support.runner.config import Entry

_SYSTEM_WIDE = Path("/etc/gitlab-runner/config.toml")


def main(arguments: list[str]) -> int:
    """Do one command; the exit code."""
    if arguments[:1] in (["--version"], ["-v"]):
        sys.stdout.write(described())
        return 0
    options = _parser().parse_args(arguments)
    from tests.support.runner.config import ConfigError  # --version must be quick

    try:
        return int(options.run(options))
    except ConfigError as error:
        sys.stderr.write(f"FATAL: {error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gitlab-runner", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    usual = Path.home() / ".gitlab-runner/config.toml" if os.getuid() else _SYSTEM_WIDE
    actions = {
        "run": _run,
        "register": _register,
        "verify": _verify,
        "unregister": _unregister,
        "list": _list,
        "lint": _lint,
    }
    for name, action in actions.items():
        command = commands.add_parser(name, allow_abbrev=False)
        command.add_argument("--config", "-c", type=Path, default=usual)
        command.set_defaults(run=action)
        if name in {"verify", "unregister"}:
            for option in ("--name", "--token", "--url"):
                command.add_argument(option, help="only entries with this one")
        if name == "unregister":
            command.add_argument("--all-runners", action="store_true")
        if name == "run":
            _add_run(command)
        if name == "register":
            _add_register(command)
    return parser


def _add_run(command: argparse.ArgumentParser) -> None:
    command.add_argument("--working-directory", "-d", type=Path, help="builds and caches lie here")
    command.add_argument("--user", "-u", default="", help="runs the jobs of shell executors")
    command.add_argument("--service", "-n", help="taken, and of no effect")
    command.add_argument("--syslog", action="store_true", help="taken, and of no effect")
    command.add_argument("--trace-interval", type=float, help="seconds between pieces of a trace")
    command.add_argument("--kill-after", type=float, help="seconds from SIGTERM to SIGKILL on cancel")


def _add_register(command: argparse.ArgumentParser) -> None:
    command.add_argument("--url", required=True)
    command.add_argument("--token", required=True)
    command.add_argument("--executor", default="shell")
    command.add_argument("--name", default="protocol-client")
    command.add_argument("--docker-image", default="")
    command.add_argument("--non-interactive", action="store_true", help="always so; for the real one's sake")


def _run(options: argparse.Namespace) -> int:
    from tests.support.runner.service import run

    return run(options)


def _register(options: argparse.Namespace) -> int:
    from tests.support.runner.config import add_entry

    verified = _ask(options.config, options.url.rstrip("/"), options.token, options.executor)
    if verified is None:
        return 1
    add_entry(
        options.config,
        name=options.name,
        url=options.url,
        token=options.token,
        executor=options.executor,
        runner_id=verified,
        image=options.docker_image,
    )
    _say(f"runner {verified} registered in {options.config}")
    return 0


def _verify(options: argparse.Namespace) -> int:
    bad = 0
    for entry in _chosen(options):
        runner_id = _ask(options.config, entry.url, entry.token, entry.executor)
        if runner_id is None:
            bad += 1
        else:
            _say(f"{entry.name}: runner {runner_id} is valid, runner={entry.short_token}")
    return 1 if bad else 0


def _unregister(options: argparse.Namespace) -> int:
    from tests.support.runner.api import GitLabCalls, RunnerRefusedError
    from tests.support.runner.config import system_id
    from tests.support.runner.config_file import forget

    gone: set[str] = set()
    entries = _chosen(options)
    for entry in entries:
        calls = GitLabCalls(
            url=entry.url,
            token=entry.token,
            system_id=system_id(options.config.parent),
            executor=entry.executor,
        )
        try:
            calls.unregister()
        except RunnerRefusedError as error:
            sys.stderr.write(f"ERROR: Unregistering runner from GitLab failed: {error}\n")
            continue
        gone.add(entry.token)
        _say(f"{entry.name}: this host has left")
    if gone:
        forget(options.config, gone)
    return 0 if len(gone) == len(entries) else 1


def _list(options: argparse.Namespace) -> int:
    from tests.support.runner.config import read

    sys.stderr.write(f"Listing configured runners   ConfigFile={options.config}\n")
    for entry in read(options.config).entries:
        sys.stderr.write(f"{entry.name}   Executor={entry.executor} Token={entry.token} URL={entry.url}\n")
    return 0


def _lint(options: argparse.Namespace) -> int:
    from tests.support.runner.config import ConfigError, read

    if not options.config.is_file():
        raise ConfigError(f"{options.config} is not there")
    read(options.config, is_only_read=True)
    return 0


def _ask(config: Path, url: str, token: str, executor: str) -> int | None:
    """The runner's id, or None where GitLab does not know the token."""
    from tests.support.runner.api import GitLabCalls, RunnerRefusedError
    from tests.support.runner.config import system_id

    calls = GitLabCalls(url=url, token=token, system_id=system_id(config.parent), executor=executor)
    try:
        return int(calls.verify()["id"])
    except RunnerRefusedError as error:
        sys.stderr.write(f"ERROR: {error}\n")
        return None
    finally:
        calls.close()


def _chosen(options: argparse.Namespace) -> Sequence[Entry]:
    from tests.support.runner.config import read

    wanted = {name: getattr(options, name) for name in ("name", "token", "url") if getattr(options, name)}
    return [
        entry
        for entry in read(options.config).entries
        if all(getattr(entry, name) == value for name, value in wanted.items())
    ]


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

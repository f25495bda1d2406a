"""All facts together."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

from nx_dte.client import CloudEnvironment
from nx_dte.doctor.facts import CheckoutFacts, CoordinatorFacts, Facts, Program, WorkspaceFacts
from nx_dte.doctor.gathering.checkout import checkout_facts, git_root, trusted_checkouts
from nx_dte.doctor.gathering.coordinator import coordinator_facts
from nx_dte.doctor.gathering.engine import engine_fact
from nx_dte.doctor.gathering.inquiry import Inquiry
from nx_dte.doctor.gathering.machine import machine_facts
from nx_dte.doctor.gathering.programs import Programs
from nx_dte.doctor.gathering.workspace import workspace_facts
from nx_dte.doctor.role import JOBS, Role
from nx_dte.errors import ConfigurationError
from nx_dte.nx_commands import Runner
from nx_dte.transport import within

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nx_dte.doctor.options import Options

__all__ = ["gather"]

_RESERVE_S = 1.0
"""Programs and calls end this long before nobody waits for them any more."""
_READING_S = 4.0
"""For a few small files of the checkout, which others wait for."""
_LATE = "it does not answer in time"
_MANAGERS = ("yarn", "npm", "pnpm")


def gather(options: Options, environ: Mapping[str, str]) -> Facts:
    """Find out what the checks of a role look at, within `options.timeout_s`.

    Raises:
        ConfigurationError: the folder cannot be looked at.
    """
    directory = _resolved(options.directory)
    is_job, role = options.role in JOBS, options.role
    inquiry = Inquiry(options.timeout_s)
    programs = Programs(environ=environ, deadline=inquiry.deadline - _RESERVE_S)
    asked = {name: inquiry.ask(partial(programs.named, name)) for name in _wanted(role)}
    reading = inquiry.ask(lambda: _read(directory) if is_job else (None, None), timeout_s=_READING_S)
    workspace, root = reading.result((WorkspaceFacts(root=directory, problem=f"{_LATE}."), None))
    if workspace is not None and workspace.usable is not None:
        environ = workspace.usable.with_settings(environ)
    name = _manager(workspace)
    if name is not None:
        asked[name] = inquiry.ask(partial(programs.named, name))

    cloud = CloudEnvironment.from_environ(environ)
    coordinator = inquiry.ask(lambda: coordinator_facts(cloud, inquiry))
    engine = inquiry.ask(lambda: engine_fact(environ, programs) if role is Role.HOST else None)
    trusted = inquiry.ask(lambda: trusted_checkouts(programs) if role is Role.IMAGE else None)
    checkout = inquiry.ask(
        lambda: None if root is None else checkout_facts(root, programs, asks_origin=options.asks_origin)
    )
    return Facts(
        role=role,
        directory=directory,
        environ=environ,
        cloud=cloud,
        python=sys.version_info[:3],
        machine=machine_facts(environ, programs, inquiry, build_folder=root),
        programs={
            each: pending.result(Program(name=each, path=each, problem=_LATE))
            for each, pending in asked.items()
        },
        checkout=checkout.result(None if root is None else CheckoutFacts(root=root, problem=_LATE)),
        workspace=workspace,
        coordinator=coordinator.result(CoordinatorFacts()),
        engine=engine.result(None),
        trusted_checkouts=trusted.result(None),
    )


def _resolved(directory: Path) -> Path:
    try:
        return within(_READING_S, lambda: directory.resolve(strict=True))
    except OSError as error:
        raise ConfigurationError(
            f"{directory} cannot be looked at: {error.strerror or error}. Name an existing folder with --directory"
        ) from error


def _wanted(role: Role) -> tuple[str, ...]:
    always = ("node", "git")
    if role is Role.IMAGE:
        return (*always, *_MANAGERS)
    return (*always, "docker", "gitlab-runner") if role is Role.HOST else always


def _read(directory: Path) -> tuple[WorkspaceFacts | None, Path | None]:
    """The workspace and the checkout that a folder is in."""
    return workspace_facts(directory), git_root(directory)


def _manager(workspace: WorkspaceFacts | None) -> str | None:
    """The program of the package manager that the lock file is of."""
    if workspace is None or workspace.manager is None:
        return None
    return "npm" if workspace.manager is Runner.NPX else workspace.manager.value

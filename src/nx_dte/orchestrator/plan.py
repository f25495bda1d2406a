"""What is to be run: the steps, and the variables they get. Pure."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from nx_dte.errors import ConfigurationError
from nx_dte.rerun_guard import PipelineShape

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nx_dte.nx_commands import NxCheckout, Runner
    from nx_dte.rerun_guard import Mode

__all__ = [
    "LOCAL_VARIABLES",
    "Options",
    "Step",
    "StepKind",
    "start_words",
    "steps",
    "with_program",
    "words_of",
]

LOCAL_VARIABLES = {
    "NX_NO_CLOUD": "true",
    # Without a cloud Nx refuses atomized targets; on one machine they are only slower.
    "NX_SKIP_ATOMIZER_VALIDATION": "true",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says."""

    directory: Path
    commands: tuple[tuple[str, ...], ...]
    records: tuple[tuple[str, ...], ...] = ()
    stop_agents_after: str | None = None
    is_fail_fast: bool = False
    runner: Runner | None = None
    mode: Mode | None = None
    shape: PipelineShape = field(default_factory=PipelineShape)
    junit: Path | None = None
    patience_s: float = 10.0
    """How long a coordinator that is away is waited for, before running without."""
    fetch_timeout_s: float = 120.0


class StepKind(StrEnum):
    """What a step is for."""

    RECORD = "record"
    COMMAND = "command"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One command of the job."""

    kind: StepKind
    title: str
    """The line as the user wrote it."""
    argv: tuple[str, ...]
    local_argv: tuple[str, ...]
    """The same without a coordinator: what is to be recorded is only run."""


def words_of(line: str) -> tuple[str, ...]:
    """The words of a line given as one option, split as a shell does.

    Raises:
        ConfigurationError: a quote is not closed, or there is no word.
    """
    try:
        words = tuple(shlex.split(line))
    except ValueError as error:
        raise ConfigurationError(
            f"{line!r} cannot be split into words: {error}. Close every quote"
        ) from error
    return with_program(words)


def with_program(words: tuple[str, ...]) -> tuple[str, ...]:
    """The words, of which the first one is a program.

    Raises:
        ConfigurationError: there is no word, or the first one is empty, as a variable that is not set leaves it.
    """
    if not words or not words[0].strip():
        raise ConfigurationError(
            "a command is empty, or its first word is. See that the variables in it are set; --record and --run want a "
            "command each"
        )
    return words


def start_words(options: Options, *, is_ours: bool) -> tuple[str, ...]:
    """`start-ci-run` and its flags.

    A coordinator of ours gets no --require-explicit-completion: it keeps a CI run open while the main job lives anyway,
    and with the flag the agents of a main job that was killed between two commands would wait for an hour.
    """
    words = ["start-ci-run", "--distribute-on=manual", "--stop-agents-on-failure=false"]
    if not is_ours:
        words.append("--require-explicit-completion")
    if options.stop_agents_after is not None:
        words.append(f"--stop-agents-after={options.stop_agents_after}")
    return tuple(words)


def steps(options: Options, checkout: NxCheckout, variables: Mapping[str, str]) -> tuple[Step, ...]:
    """Records, then commands."""
    records = [
        Step(
            kind=StepKind.RECORD,
            title=shlex.join(words),
            argv=checkout.recorded(words, variables=variables),
            local_argv=checkout.command(words, variables=variables),
        )
        for words in options.records
    ]
    commands = []
    for words in options.commands:
        argv = checkout.command(words, variables=variables)
        commands.append(
            Step(kind=StepKind.COMMAND, title=shlex.join(words), argv=argv, local_argv=argv),
        )
    return (*records, *commands)

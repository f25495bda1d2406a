"""What the main job runs, in which words."""

from __future__ import annotations

from pathlib import Path

import pytest

from nx_dte.errors import ConfigurationError
from nx_dte.nx_commands import NxCheckout, Runner
from nx_dte.orchestrator import Options, StepKind
from nx_dte.orchestrator.plan import start_words, steps, words_of


def checkout(runner: Runner = Runner.PNPM, *, is_yarn_classic: bool = False) -> NxCheckout:
    return NxCheckout(
        root=Path("/w"),
        runner=runner,
        is_yarn_classic=is_yarn_classic,
        bin_folder=Path("/w/node_modules/.bin"),
        nx_version="20.8.4",
    )


def options(**other: object) -> Options:
    return Options(**{"directory": Path("/w"), "commands": (("nx", "affected"),), **other})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("nx format:check", ("nx", "format:check")),
        ("  nx   run 'my project:test' ", ("nx", "run", "my project:test")),
        ("echo \"a 'b' $NX_BASE\" c\\ d", ("echo", "a 'b' $NX_BASE", "c d")),
        ("a && b | c > d # e", ("a", "&&", "b", "|", "c", ">", "d", "#", "e")),
    ],
)
def test_a_line_is_split_as_a_shell_does_it_and_nothing_more(line: str, words: tuple[str, ...]) -> None:
    assert words_of(line) == words


@pytest.mark.parametrize("line", ["", "   ", "nx 'run"])
def test_a_line_that_is_no_command(line: str) -> None:
    with pytest.raises(ConfigurationError):
        words_of(line)


def test_ours_needs_no_explicit_completion_and_nx_cloud_does() -> None:
    common = ("start-ci-run", "--distribute-on=manual", "--stop-agents-on-failure=false")
    assert start_words(options(), is_ours=True) == common
    assert start_words(options(stop_agents_after="e2e-ci,build"), is_ours=True) == (
        *common,
        "--stop-agents-after=e2e-ci,build",
    )
    assert start_words(options(), is_ours=False) == (*common, "--require-explicit-completion")


def test_records_come_first_and_are_only_run_where_there_is_no_coordinator() -> None:
    wanted = options(
        records=(("nx", "format:check", "--base=$NX_BASE"), ("./lint.sh",)),
        commands=(("nx", "affected", "--base=${NX_BASE}"), ("make", "all")),
    )
    made = steps(wanted, checkout(), {"NX_BASE": "abc"})
    assert [(step.kind, step.title) for step in made] == [
        (StepKind.RECORD, "nx format:check '--base=$NX_BASE'"),
        (StepKind.RECORD, "./lint.sh"),
        (StepKind.COMMAND, "nx affected '--base=${NX_BASE}'"),
        (StepKind.COMMAND, "make all"),
    ]
    nx = ("pnpm", "exec")
    assert [(step.argv, step.local_argv) for step in made] == [
        (
            (*nx, "nx-cloud", "record", "--", "nx", "format:check", "--base=abc"),
            (*nx, "nx", "format:check", "--base=abc"),
        ),
        ((*nx, "nx-cloud", "record", "--", "./lint.sh"), ("./lint.sh",)),
        ((*nx, "nx", "affected", "--base=abc"),) * 2,
        (("make", "all"),) * 2,
    ]

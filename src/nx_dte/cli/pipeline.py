"""`nx-dte pipeline …`: write the pipeline's file, and find the known faults of one."""

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from nx_dte.errors import ConfigurationError

if TYPE_CHECKING:
    from nx_dte.pipeline import Finding

__all__ = ["pipeline"]

EXIT_FAULTS = 1
LINE_LENGTH = 110


@click.group()
def pipeline() -> None:
    """Write the pipeline's file, and find the known faults of one."""


@pipeline.command()
@click.option("--agents", type=int, default=3, show_default=True, metavar="N", help="Agent jobs, 1 to 200.")
@click.option(
    "--targets",
    default="lint,test,build,e2e-ci",
    show_default=True,
    metavar="LIST",
    help="Main runs `nx affected -t LIST`.",
)
@click.option(
    "--parallel", type=int, default=2, show_default=True, metavar="N", help="Tasks at once on each agent."
)
@click.option(
    "--command",
    "commands",
    multiple=True,
    metavar="COMMAND",
    help="Main runs this instead of --targets and --parallel; may be repeated.",
)
@click.option(
    "--record",
    "records",
    multiple=True,
    metavar="COMMAND",
    help="Main runs and records this first; may be repeated. Without it `nx format:check`, where there is prettier.",
)
@click.option("--no-record", is_flag=True, help="Nothing is recorded.")
@click.option(
    "--stop-agents-after",
    metavar="TARGETS",
    help="Agents leave after the command with these targets. Without it e2e-ci, or the last of --targets.",
)
@click.option(
    "--package-manager",
    type=click.Choice(["yarn", "npm", "pnpm"]),
    help="Without it the checkout's lock file says.",
)
@click.option(
    "--install",
    metavar="LINE",
    help="Shell line that installs the packages, without GitLab's cache; '' for none. Without it the package manager's.",
)
@click.option(
    "--before-script",
    "before",
    multiple=True,
    metavar="LINE",
    help="Shell line before that, in main and agents; may be repeated.",
)
@click.option(
    "--image", metavar="IMAGE", help="Image of all jobs. Without it the runners' own, or none at all."
)
@click.option(
    "--main-tag",
    "main_tags",
    multiple=True,
    default=("nx-main",),
    show_default=True,
    metavar="TAG",
    help="Runner tag of guard and main; may be repeated, '' for none.",
)
@click.option(
    "--agent-tag",
    "agent_tags",
    multiple=True,
    default=("nx-agent",),
    show_default=True,
    metavar="TAG",
    help="Runner tag of agents; may be repeated, '' for none.",
)
@click.option("--main-job", default="nx-dte", show_default=True, metavar="NAME", help="Name of the main job.")
@click.option(
    "--agent-job", default="nx-dte-agent", show_default=True, metavar="NAME", help="Name of the agents."
)
@click.option(
    "--guard-job", default="nx-rerun-guard", show_default=True, metavar="NAME", help="Name of the guard job."
)
@click.option(
    "--stage", default="affected", show_default=True, metavar="NAME", help="Stage of main and agents."
)
@click.option(
    "--guard",
    type=click.Choice(["auto", "job", "off"]),
    default="auto",
    show_default=True,
    help="job: a guard job before main and agents. auto: not with --coordinator-url, which remembers more than a guard job "
    "can. off: no guard at all.",
)
@click.option(
    "--guard-mode", type=click.Choice(["strict", "mirror"]), help="See `nx-dte guard check --help`."
)
@click.option(
    "--pipelines",
    default="branches,merge-requests,tags,schedules,web",
    show_default=True,
    metavar="LIST",
    help="What has pipelines; web is `Run new pipeline`.",
)
@click.option("--default-branch", is_flag=True, help="Of the branches only the default one has pipelines.")
@click.option(
    "--coordinator-url",
    metavar="URL",
    help="Address of an nx-dte coordinator. Without it the CI/CD variable NX_CLOUD_API has it.",
)
@click.option(
    "--audience",
    metavar="TEXT",
    help="Gives main and agents an ID token (NX_DTE_ID_TOKEN) for this audience. Coordinators of this version ignore it.",
)
@click.option(
    "--git-depth",
    type=int,
    default=0,
    show_default=True,
    metavar="N",
    help="Commits to clone; 0 clones all. nx-dte fetches more where it needs them.",
)
@click.option(
    "--agent-timeout",
    default="1h",
    show_default=True,
    metavar="TIME",
    help="GitLab's timeout of agents; they leave by themselves before.",
)
@click.option(
    "--artifact",
    "artifacts",
    multiple=True,
    default=("dist",),
    show_default=True,
    metavar="PATH",
    help="What main hands to GitLab; may be repeated, '' for nothing.",
)
@click.option(
    "--expire-in", default="5 days", show_default=True, metavar="TIME", help="How long GitLab keeps that."
)
@click.option(
    "--directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    default=Path(),
    metavar="DIR",
    help="The checkout; without it the current folder.",
)
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Where to write to; without it stdout.",
)
@click.pass_context
def render(context: click.Context, /, *, directory: Path, output: Path | None, **given: Any) -> None:
    """Write a .gitlab-ci.yml for one main job, its agents, and the rerun guard.

    In a checkout of an Nx workspace it needs no options. The file is meant to be kept and changed; `nx-dte pipeline lint`
    finds the known faults of such files.
    """
    from nx_dte.pipeline import GuardJob, PackageManager, PipelineOptions, look_at
    from nx_dte.pipeline import render as text_of
    from nx_dte.pipeline.options import minutes_of

    manager = given["package_manager"]
    workspace = look_at(directory, None if manager is None else PackageManager(manager))
    commands, stop_agents_after = _commands(given, is_given=_is_given(context))
    options = PipelineOptions(
        workspace=workspace,
        agents=given["agents"],
        agent_timeout_min=minutes_of(given["agent_timeout"]),
        commands=commands,
        records=_records(given, has_prettier=workspace.has_prettier),
        stop_agents_after=stop_agents_after,
        install=given["install"],
        before=given["before"],
        image=given["image"],
        main_tags=_without_empty(given["main_tags"]),
        agent_tags=_without_empty(given["agent_tags"]),
        main_job=given["main_job"],
        agent_job=given["agent_job"],
        guard_job=given["guard_job"],
        stage=given["stage"],
        guard=GuardJob(given["guard"]),
        guard_mode=given["guard_mode"],
        kinds=_kinds(given["pipelines"]),
        is_default_branch_only=given["default_branch"],
        coordinator_url=given["coordinator_url"],
        audience=given["audience"],
        git_depth=given["git_depth"],
        artifacts=_without_empty(given["artifacts"]),
        artifacts_expire_in=given["expire_in"],
    )
    text = text_of(options, made_by=_made_by(context))
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{output} cannot be written: {error.strerror or error}") from error
    click.echo(f"nx-dte pipeline: wrote {output}", err=True)


def _is_given(context: click.Context) -> set[str]:
    """The parameters that stand on the command line."""
    return {
        name for name in context.params if context.get_parameter_source(name) is ParameterSource.COMMANDLINE
    }


def _commands(given: dict[str, Any], *, is_given: set[str]) -> tuple[tuple[tuple[str, ...], ...], str | None]:
    """What main runs, and after which targets agents leave."""
    stop_agents_after = given["stop_agents_after"]
    if given["commands"]:
        if is_given & {"targets", "parallel"}:
            raise ConfigurationError(
                "--command stands instead of --targets and --parallel; put these into the command"
            )
        return tuple(_words("--command", line) for line in given["commands"]), stop_agents_after
    targets = [target.strip() for target in given["targets"].split(",") if target.strip()]
    if not targets or any(target.startswith("-") for target in targets):
        raise ConfigurationError(
            f"--targets {given['targets']!r} is no list of targets, like lint,test,build"
        )
    if given["parallel"] < 1:
        raise ConfigurationError(f"--parallel {given['parallel']}: an agent runs one task at least")
    command = ("nx", "affected", "-t", ",".join(targets), f"--parallel={given['parallel']}")
    default = "e2e-ci" if "e2e-ci" in targets else targets[-1]
    return (command,), default if stop_agents_after is None else stop_agents_after


def _records(given: dict[str, Any], *, has_prettier: bool) -> tuple[tuple[str, ...], ...]:
    if given["no_record"]:
        if given["records"]:
            raise ConfigurationError("--record and --no-record exclude one another")
        return ()
    if given["records"]:
        return tuple(_words("--record", line) for line in given["records"])
    return (("nx", "format:check"),) if has_prettier else ()


def _words(option: str, line: str) -> tuple[str, ...]:
    if "\n" in line or "\r" in line:  # which the split would take for a space
        raise ConfigurationError(f"{option} {line!r} holds a line break. Give one line of text")
    try:
        words = tuple(shlex.split(line))
    except ValueError as error:
        raise ConfigurationError(f"{option} {line!r} cannot be split into words: {error}") from error
    if not words:
        raise ConfigurationError(f"{option}: an empty line is no command")
    return words


def _kinds(listed: str) -> frozenset[Any]:
    from nx_dte.pipeline import PipelineKind

    names = [name.strip() for name in listed.split(",") if name.strip()]
    known = {kind.value for kind in PipelineKind}
    if unknown := [name for name in names if name not in known]:
        raise ConfigurationError(f"--pipelines: {unknown[0]!r} is none of {', '.join(sorted(known))}")
    return frozenset(PipelineKind(name) for name in names)


def _without_empty(values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(value for value in values if value)


def _made_by(context: click.Context) -> tuple[str, ...]:
    """The command line again, in lines that are not too long; where to and where from do not matter for the next time."""
    words = ["nx-dte pipeline render"]
    given = _is_given(context) - {"output", "directory"}
    for parameter in context.command.params:
        if parameter.name not in given or not isinstance(parameter, click.Option):
            continue
        value = context.params[parameter.name]
        values = value if parameter.multiple else [value]
        words += [
            parameter.opts[0] if parameter.is_flag else shlex.join([parameter.opts[0], str(each)])
            for each in values
        ]
    lines = [words[0]]
    for word in words[1:]:
        if len(lines[-1]) + 1 + len(word) <= LINE_LENGTH:
            lines[-1] += f" {word}"
        else:
            lines[-1] += " \\"
            lines.append(f"  {word}")
    return tuple(lines)


@pipeline.command()
@click.argument("file", type=click.Path(path_type=Path), default=Path(".gitlab-ci.yml"))
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="json: one object with a list of findings.",
)
@click.option(
    "--main-slots", type=click.IntRange(min=0), metavar="M", help="Main jobs that runners take at once."
)
@click.option(
    "--agent-slots", type=click.IntRange(min=0), metavar="A", help="Agents that runners take at once."
)
@click.option(
    "--slots",
    type=click.IntRange(min=0),
    metavar="S",
    help="The same for both, where they share their runners.",
)
def lint(
    *, file: Path, format_: str, main_slots: int | None, agent_slots: int | None, slots: int | None
) -> None:
    """Find known faults in a .gitlab-ci.yml: what makes main and agents wait for one another, or lie.

    FILE is .gitlab-ci.yml unless given; - is stdin. Local includes are read, too. docs/pipeline.md has the list of faults.

    Ends with 0 when there is none, 1 when there are some, 78 when the file cannot be read.
    """
    from nx_dte.pipeline import Severity, Slots
    from nx_dte.pipeline import lint as findings_of

    if (main_slots is None) != (agent_slots is None):
        raise ConfigurationError(
            "--main-slots and --agent-slots belong together; --slots is for runners that take both"
        )
    if slots is not None and main_slots is not None:
        raise ConfigurationError(
            "--slots is for runners that take main jobs and agents, --main-slots and --agent-slots for "
            "runners of each; give the one or the others"
        )
    is_stdin = str(file) == "-"
    # What is no UTF-8 becomes a character that no YAML keyword has, so a fault of the file and not of this program.
    text = sys.stdin.buffer.read().decode("utf-8-sig", errors="replace") if is_stdin else None
    findings = findings_of(
        Path("stdin") if is_stdin else file,
        text=text,
        slots=Slots(main=main_slots, agent=agent_slots, shared=slots),
    )
    if format_ == "json":
        _say_json(findings)
    else:
        _say_text(findings)
    sys.exit(EXIT_FAULTS if any(finding.severity is Severity.FAULT for finding in findings) else 0)


def _say_text(findings: "tuple[Finding, ...]") -> None:
    from nx_dte.pipeline.finding import Severity, advice

    for finding in findings:
        jobs = f"{', '.join(finding.jobs)}: " if finding.jobs else ""
        kind = "" if finding.severity is Severity.FAULT else f"{finding.severity.value}: "
        click.echo(
            f"{finding.place.file}:{finding.place.line}: {kind}{jobs}{finding.message} [{finding.code.value}]"
        )
        click.echo(f"    {advice(finding.code)}")
    count = sum(finding.severity is Severity.FAULT for finding in findings)
    click.echo(f"nx-dte pipeline: {count or 'no'} fault{'' if count == 1 else 's'}")


def _say_json(findings: "tuple[Finding, ...]") -> None:
    from nx_dte.pipeline.finding import advice

    rows = [
        {
            "code": finding.code.value,
            "severity": finding.severity.value,
            "file": finding.place.file,
            "line": finding.place.line,
            "jobs": list(finding.jobs),
            "message": finding.message,
            "advice": advice(finding.code),
        }
        for finding in findings
    ]
    click.echo(json.dumps({"findings": rows}, indent=2, ensure_ascii=False))

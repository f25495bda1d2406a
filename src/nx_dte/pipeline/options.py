"""What a rendered pipeline is to be like, and which values cannot be."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum

from nx_dte.errors import ConfigurationError
from nx_dte.pipeline.workspace import Workspace

__all__ = [
    "DEFAULT_AGENT_JOB",
    "DEFAULT_MAIN_JOB",
    "GuardJob",
    "PipelineKind",
    "PipelineOptions",
    "minutes_of",
]

DEFAULT_MAIN_JOB = "nx-dte"
DEFAULT_AGENT_JOB = "nx-dte-agent"
"""What `nx-dte orchestrate` and `nx-dte agent` expect; other names are told to them."""
MAX_AGENTS = 200
"""GitLab's own limit of `parallel`."""
SHORTEST_TIMEOUT_MIN = 10
_MAX_NAME = 255
_KEYWORDS = frozenset(
    [
        "after_script",
        "before_script",
        "cache",
        "default",
        "false",
        "image",
        "include",
        "nil",
        "null",
        "pages",
        "pages:deploy",
        "services",
        "spec",
        "stages",
        "true",
        "types",
        "variables",
        "workflow",
    ]
)
_DURATION = re.compile(r"(?:(\d{1,3})\s*h(?:ours?)?)?\s*(?:(\d{1,5})\s*m(?:in(?:utes?)?)?)?")
_DAYS = re.compile(r"never|\d{1,4} ?(?:mins?|minutes?|hrs?|hours?|days?|weeks?|mos?|months?|years?)")
_URL = re.compile(r"https?://[^\s/?#\"'<>\\]+[^\s\"'<>\\]*")


class GuardJob(StrEnum):
    """Whether the pipeline has a job that writes down where its run begins."""

    AUTO = "auto"
    """Not where a coordinator of ours is named: what that remembers is better evidence."""
    JOB = "job"
    OFF = "off"
    """No guard at all: main and agents are told not to ask."""


class PipelineKind(StrEnum):
    """What GitLab makes pipelines for."""

    BRANCHES = "branches"
    MERGE_REQUESTS = "merge-requests"
    TAGS = "tags"
    SCHEDULES = "schedules"
    WEB = "web"
    """Started by hand, by `Run new pipeline`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PipelineOptions:
    """A pipeline of one main job and its agents.

    Commands and records are words; they reach the job's shell quoted. `install` and `before` are lines for the shell.
    """

    workspace: Workspace = field(default_factory=Workspace)
    agents: int = 3
    agent_timeout_min: int = 60
    commands: tuple[tuple[str, ...], ...]
    records: tuple[tuple[str, ...], ...] = ()
    stop_agents_after: str | None = None
    install: str | None = None
    """Instead of the package manager's own line; "" installs nothing."""
    before: tuple[str, ...] = ()
    """Lines before that."""
    image: str | None = None
    """None: the runners bring it."""
    main_tags: tuple[str, ...] = ("nx-main",)
    agent_tags: tuple[str, ...] = ("nx-agent",)
    main_job: str = DEFAULT_MAIN_JOB
    agent_job: str = DEFAULT_AGENT_JOB
    guard_job: str = "nx-rerun-guard"
    stage: str = "affected"
    guard: GuardJob = GuardJob.AUTO
    guard_mode: str | None = None
    """strict or mirror; None leaves it to the guard."""
    kinds: frozenset[PipelineKind] = frozenset(PipelineKind)
    is_default_branch_only: bool = False
    coordinator_url: str | None = None
    """Of a coordinator of ours; None: a CI/CD variable of the project has it."""
    audience: str | None = None
    git_depth: int = 0
    """0 is all of the history."""
    artifacts: tuple[str, ...] = ("dist",)
    artifacts_expire_in: str = "5 days"

    def __post_init__(self) -> None:
        """Refuse what GitLab would, and what would break the file.

        Raises:
            ConfigurationError: names the option and what it may be.
        """
        self._require_range("--agents", self.agents, 1, MAX_AGENTS)
        self._require_range("--git-depth", self.git_depth, 0, 1_000_000)
        self._require_range(
            "--agent-timeout (in minutes)", self.agent_timeout_min, SHORTEST_TIMEOUT_MIN, 43_200
        )
        self._check_lines()
        self._check_names()
        self._check_places()

    @property
    def has_guard_job(self) -> bool:
        """Whether the file gets one."""
        if self.guard is GuardJob.AUTO:
            return self.coordinator_url is None
        return self.guard is GuardJob.JOB

    @property
    def survives_main_alone(self) -> bool:
        """Whether a main job that GitLab starts again by itself finds its way back to its agents."""
        return self.coordinator_url is not None or self.guard_mode == "mirror"

    @property
    def agent_lifetime_s(self) -> int:
        """When an agent leaves by itself: five sixths of its time, because cloning and installing are part of that."""
        return self.agent_timeout_min * 50

    def _check_lines(self) -> None:
        if not self.commands or not all(self.commands):
            raise ConfigurationError(
                "no command: give --command 'nx affected -t lint,test,build', or --targets"
            )
        for option, lines in (("--command", self.commands), ("--record", self.records)):
            for words in lines:
                _require_printable(option, *words)
        _require_printable("--before-script", *self.before)
        if any(not line.strip() for line in self.before):
            raise ConfigurationError("--before-script: an empty line is no command")
        for option, value in (
            ("--install", self.install),
            ("--image", self.image),
            ("--audience", self.audience),
            ("--stop-agents-after", self.stop_agents_after),
        ):
            if value is not None:
                _require_printable(option, value)

    def _check_names(self) -> None:
        names = {
            "--main-job": self.main_job,
            "--agent-job": self.agent_job,
            "--guard-job": self.guard_job,
        }
        for option, name in names.items():
            _require_name(option, name)
            if name.startswith(".") or name in _KEYWORDS or any(sign in name for sign in "*?[$"):
                raise ConfigurationError(
                    f"{option} {name!r} is no name for a job: GitLab hides names that start with a dot, has words of its "
                    "own, and * ? [ $ stand for something else in the guard's patterns"
                )
        if len(set(names.values())) != len(names):
            raise ConfigurationError("--main-job, --agent-job and --guard-job need three different names")
        if self.agent_job == DEFAULT_AGENT_JOB and self.guard_job.startswith(DEFAULT_AGENT_JOB):
            raise ConfigurationError(
                f"--guard-job {self.guard_job!r} begins like the agents' name, so the guard would take it for one of them"
            )
        _require_name("--stage", self.stage)
        if self.stage.startswith("."):
            raise ConfigurationError(f"--stage {self.stage!r}: stages that start with a dot are GitLab's own")
        for option, tags in (("--main-tag", self.main_tags), ("--agent-tag", self.agent_tags)):
            for tag in tags:
                _require_name(option, tag)

    def _check_places(self) -> None:
        if not self.kinds:
            raise ConfigurationError("--pipelines: a pipeline for nothing never starts")
        if self.is_default_branch_only and PipelineKind.BRANCHES not in self.kinds:
            raise ConfigurationError("--default-branch needs pipelines for branches; add them to --pipelines")
        if self.coordinator_url is not None and not _URL.fullmatch(self.coordinator_url):
            raise ConfigurationError(
                f"--coordinator-url {self.coordinator_url!r} is no address; it looks like https://nx-dte.example.org"
            )
        if self.guard is GuardJob.OFF and self.guard_mode is not None:
            raise ConfigurationError(
                "--guard off leaves no guard that could have a --guard-mode; give one of the two"
            )
        for path in self.artifacts:
            _require_name("--artifact", path)
            if path.startswith(("/", "~")) or ".." in path.split("/"):
                raise ConfigurationError(f"--artifact {path!r}: GitLab takes paths below the checkout only")
        if not _DAYS.fullmatch(self.artifacts_expire_in):
            raise ConfigurationError(
                f"--expire-in {self.artifacts_expire_in!r} is no time; it looks like '5 days', '12 hours' or 'never'"
            )

    @staticmethod
    def _require_range(option: str, value: int, least: int, most: int) -> None:
        if not least <= value <= most:
            raise ConfigurationError(f"{option} {value} is not from {least} to {most}")


def minutes_of(text: str) -> int:
    """`90m`, `1h`, `1h 30m` in minutes.

    Raises:
        ConfigurationError: it is none of these.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None or not any(match.groups()):
        raise ConfigurationError(f"--agent-timeout {text!r} is no time; it looks like 1h, 90m or 1h 30m")
    return int(match[1] or 0) * 60 + int(match[2] or 0)


def _require_name(option: str, value: str) -> None:
    _require_printable(option, value)
    if not value or value != value.strip() or len(value) > _MAX_NAME:
        raise ConfigurationError(
            f"{option} {value!r} is no name: it must have 1 to {_MAX_NAME} characters and no space at its ends"
        )


def _require_printable(option: str, *values: str) -> None:
    for value in values:
        if not value.isprintable():
            raise ConfigurationError(
                f"{option} {value!r} holds a line break or another character that cannot be printed. Give one line of text"
            )

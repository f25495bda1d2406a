"""Rendered files: what stands in them, and that no value can break out of its place."""

from __future__ import annotations

import itertools
import shlex
import subprocess
from typing import Any

import pytest
import yaml
from hypothesis import given, settings

from nx_dte.cli.orchestrate import orchestrate
from nx_dte.pipeline import (
    GuardJob,
    PackageManager,
    PipelineKind,
    PipelineOptions,
    Severity,
    Workspace,
    render,
)
from nx_dte.pipeline.options import DEFAULT_AGENT_JOB, DEFAULT_MAIN_JOB
from tests.support.gitlab.ci_file import yaml_text
from tests.support.gitlab.ci_file.job_spec import copies, job_spec
from tests.unit.pipeline.lints import findings
from tests.unit.pipeline.some_options import OPTIONS
from tests.unit.pipeline.texts import QUICK

AFFECTED = ("nx", "affected", "-t", "lint,test,build,e2e-ci", "--parallel=2")
PARTS = ("nx-rerun-guard", "nx-dte", "nx-dte-agent")


def options(**values: Any) -> PipelineOptions:
    return PipelineOptions(**{"commands": (AFFECTED,), "records": (("nx", "format:check"),)} | values)


def jobs(**values: Any) -> dict[str, Any]:
    """The jobs as GitLab resolves them."""
    return dict(yaml_text.read(render(options(**values))).jobs)


def variables(job: str = "nx-dte", **values: Any) -> dict[str, str]:
    return dict(jobs(**values)[job].get("variables", {}))


def script_words(text: str, name: str) -> list[str]:
    script = yaml_text.read(text).jobs[name]["script"]
    assert len(script) == 1
    return shlex.split(script[0])


# ---------------------------------------------------------------------------------------- what holds for all
@pytest.mark.slow
@pytest.mark.timeout(600)
@settings(QUICK, max_examples=80)
@given(made=OPTIONS)
def test_whatever_the_options_the_file_says_just_that_and_the_lint_is_content(made: PipelineOptions) -> None:
    text = render(made)
    document = yaml.safe_load(text)
    visible = {name for name, value in document.items() if isinstance(value, dict) and name[0] != "."}
    guard = {made.guard_job} if made.has_guard_job else set()
    assert visible == {"workflow", made.main_job, made.agent_job} | guard

    words = script_words(text, made.main_job)
    assert words[:2] == ["nx-dte", "orchestrate"]
    assert words[words.index("--") + 1 :] == list(made.commands[0])
    options_before = words[2 : words.index("--")]
    assert [shlex.split(line) for line in _following(options_before, "--record")] == [
        list(record) for record in made.records
    ]
    assert [shlex.split(line) for line in _following(options_before, "--run")] == [
        list(command) for command in made.commands[1:]
    ]

    read = yaml_text.read(text)
    specs = {
        name: job_spec(name, job, read.job_variables[name], read.stages) for name, job in read.jobs.items()
    }
    agent = specs[made.agent_job]
    assert len(list(copies(agent, read.jobs[made.agent_job].get("parallel")))) == made.agents
    assert agent.tags == made.agent_tags
    assert specs[made.main_job].tags == made.main_tags
    for name in (made.main_job, made.agent_job):
        assert specs[name].stage == made.stage
        assert (specs[name].image or {}).get("name") == made.image
        assert specs[name].script[: len(made.before)] == made.before
    assert [finding for finding in findings(text) if finding.severity is Severity.FAULT] == []


def _following(words: list[str], option: str) -> list[str]:
    return [value for word, value in itertools.pairwise(words) if word == option]


@pytest.mark.parametrize("guard", GuardJob)
def test_guard_main_and_agents_have_identical_rules(guard: GuardJob) -> None:
    rules = [job["rules"] for job in jobs(guard=guard).values()]
    assert len(rules) == (2 if guard is GuardJob.OFF else 3)
    assert all(each == rules[0] for each in rules)


def test_a_shell_makes_the_same_words_of_it() -> None:
    words = ("nx", "affected", "-t", "a b,$(reboot),`x`,c'd\"e,*,#f", "--x=$NX_BASE", "ä \\ ~ ! ; & |")
    made = options(commands=(words,), records=(("echo", "it's", "$HOME"),))
    line = yaml_text.read(render(made)).jobs["nx-dte"]["script"][0]
    script = "nx-dte() { printf '%s\\0' \"$@\"; }\n" + line
    output = subprocess.run(
        ["bash", "-c", script], capture_output=True, text=True, timeout=30, check=True
    ).stdout
    seen = output.split("\0")[:-1]
    assert seen[seen.index("--") + 1 :] == list(words)
    assert shlex.split(seen[seen.index("--record") + 1]) == ["echo", "it's", "$HOME"]


def test_what_is_printed_without_being_quoted_cannot_hold_a_line_break() -> None:
    with pytest.raises(ValueError, match="no single line"):
        render(options(), made_by=("x\nbad: true",))


# ---------------------------------------------------------------------------------------- its parts
def test_the_default_pipeline() -> None:
    made = jobs()
    guard, main, agent = (made[name] for name in PARTS)
    assert list(made) == list(PARTS), "main stands before the agents"
    line = "nx-dte orchestrate --record 'nx format:check' --junit .nx-dte/junit.xml -- nx affected -t lint,test,build,e2e-ci"
    assert main["script"] == [f"{line} --parallel=2"]
    assert guard["artifacts"] == {
        "paths": [".nx-dte/guard.json", ".nx-dte/.gitignore"],
        "reports": {"dotenv": ".nx-dte/guard.env"},
        "expire_in": "1 year",
    }
    assert main["artifacts"] == {
        "when": "always",
        "expire_in": "5 days",
        "paths": ["dist"],
        "reports": {"junit": ".nx-dte/junit.xml"},
    }
    assert (guard["tags"], main["tags"], agent["tags"]) == (["nx-main"], ["nx-main"], ["nx-agent"])
    assert agent["parallel"] == 3
    assert agent["allow_failure"] == {"exit_codes": [75, 76, 77]}
    assert agent["retry"]["exit_codes"] == [76]
    assert not {"script_failure", "always"} & set(agent["retry"]["when"])
    assert main["retry"] == 0
    assert all(job["interruptible"] for job in made.values())
    assert main["needs"] == agent["needs"] == ["nx-rerun-guard"]
    assert variables()["FF_USE_NEW_BASH_EVAL_STRATEGY"] == "true"
    assert variables()["GIT_DEPTH"] == "0"
    assert not any("image" in job or "id_tokens" in job for job in made.values())


def test_options_of_the_main_command_exist() -> None:
    """The file names them; so do `nx-dte orchestrate` and its defaults."""
    known = {name for parameter in orchestrate.params for name in parameter.opts}
    made = options(stop_agents_after="build", commands=(AFFECTED, ("nx", "build")))
    words = script_words(render(made), "nx-dte")
    assert {word for word in words[: words.index("--")] if word.startswith("--")} <= known
    defaults = {parameter.name: parameter.default for parameter in orchestrate.params}
    assert (defaults["main_job"], defaults["agent_job"]) == (DEFAULT_MAIN_JOB, f"{DEFAULT_AGENT_JOB}*")


@pytest.mark.parametrize(
    ("manager", "line", "folder"),
    [
        (PackageManager.YARN, "yarn install --frozen-lockfile --prefer-offline --cache-folder .yarn-cache", ".yarn-cache"),
        (PackageManager.NPM, "npm ci --prefer-offline --cache .npm", ".npm"),
        (PackageManager.PNPM, "pnpm install --frozen-lockfile --prefer-offline --store-dir .pnpm-store", ".pnpm-store"),
    ],
)  # fmt: skip
def test_everybody_takes_the_cache_and_main_alone_stores_it(
    manager: PackageManager, line: str, folder: str
) -> None:
    made = jobs(workspace=Workspace(package_manager=manager, lock_file="the.lock"))
    expected = {"key": {"files": ["the.lock"]}, "paths": [folder]}
    assert made["nx-dte"]["cache"] == expected | {"policy": "pull-push"}
    assert made["nx-dte-agent"]["cache"] == expected | {"policy": "pull"}
    assert "cache" not in made["nx-rerun-guard"]
    assert made["nx-dte"]["before_script"] == made["nx-dte-agent"]["before_script"] == [line]


def test_another_way_to_install_brings_its_own_cache() -> None:
    made = jobs(install="make node_modules", before=("corepack enable",))
    assert made["nx-dte"]["before_script"] == ["corepack enable", "make node_modules"]
    assert "cache" not in made["nx-dte"]
    assert "before_script" not in jobs(install="")["nx-dte-agent"]


def test_a_newer_yarn_keeps_its_cache_where_gitlab_can_take_it() -> None:
    made: dict[str, Any] = {"workspace": Workspace(is_yarn_berry=True)}
    assert variables(**made)["YARN_ENABLE_GLOBAL_CACHE"] == "false"
    assert jobs(**made)["nx-dte"]["cache"]["paths"] == [".yarn/cache"]
    assert "YARN_ENABLE_GLOBAL_CACHE" not in variables(**made, install="make")


def test_a_workspace_in_a_folder_has_all_its_paths_there() -> None:
    made = jobs(workspace=Workspace(folder="web", lock_file="web/yarn.lock"), artifacts=("dist", "reports"))
    main = made["nx-dte"]
    assert main["before_script"][0] == "cd web"
    assert main["artifacts"]["paths"] == ["web/dist", "web/reports"]
    assert main["artifacts"]["reports"] == {"junit": "web/.nx-dte/junit.xml"}
    assert main["cache"]["key"] == {"files": ["web/yarn.lock"]}
    assert main["cache"]["paths"] == ["web/.yarn-cache"]


# ---------------------------------------------------------------------------------------- guard and coordinator
@pytest.mark.parametrize(
    ("guard", "url", "has_job"),
    [
        (GuardJob.AUTO, None, True),
        (GuardJob.AUTO, "https://nx-dte.example.org", False),
        (GuardJob.JOB, "https://nx-dte.example.org", True),
        (GuardJob.OFF, None, False),
    ],
)
def test_there_is_a_guard_job_where_nothing_better_tells(
    guard: GuardJob, url: str | None, *, has_job: bool
) -> None:
    made = jobs(guard=guard, coordinator_url=url)
    assert ("nx-rerun-guard" in made) is has_job
    assert made["nx-dte"]["needs"] == (["nx-rerun-guard"] if has_job else [])
    assert made["nx-dte"]["variables"].get("NX_CLOUD_API") == url
    mode = made["nx-dte"]["variables"].get("NX_DTE_GUARD_MODE")
    assert mode == ("off" if guard is GuardJob.OFF else None)


def test_main_is_started_again_only_where_it_finds_its_agents() -> None:
    assert jobs()["nx-dte"]["retry"] == 0
    for values in ({"coordinator_url": "https://nx-dte.example.org"}, {"guard_mode": "mirror"}):
        retry = jobs(**values)["nx-dte"]["retry"]
        assert retry == {"max": 1, "when": ["runner_system_failure", "scheduler_failure"]}


def test_an_id_token_has_a_name_that_replaces_no_token_of_today() -> None:
    made = jobs(audience="https://nx-dte.example.org")
    tokens = {"NX_DTE_ID_TOKEN": {"aud": "https://nx-dte.example.org"}}
    assert made["nx-dte"]["id_tokens"] == made["nx-dte-agent"]["id_tokens"] == tokens
    assert "id_tokens" not in made["nx-rerun-guard"]


def test_other_names_are_told_to_the_guard() -> None:
    made = {"main_job": "verify", "agent_job": "helper"}
    names = {"NX_DTE_MAIN_JOB": "verify", "NX_DTE_AGENT_JOB": "helper"}
    for job in made.values():
        assert names.items() <= variables(job, **made).items()
    assert not names.keys() & variables().keys()


def test_an_agent_leaves_before_gitlab_ends_it() -> None:
    made = jobs(agent_timeout_min=90)["nx-dte-agent"]
    assert made["timeout"] == "1h 30m"
    assert made["script"] == ["nx-dte agent --lifetime 4500"]


# ---------------------------------------------------------------------------------------- refused
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"agents": 0}, "--agents 0 is not from 1 to 200"),
        ({"agents": 201}, "--agents 201 is not from 1 to 200"),
        ({"git_depth": -1}, "--git-depth -1"),
        ({"agent_timeout_min": 5}, "--agent-timeout"),
        ({"commands": ()}, "no command"),
        ({"commands": (("nx", "a\nb"),)}, "--command 'a\\nb' holds a line break"),
        ({"records": (("nx", "\x1b[31m"),)}, "--record"),
        ({"before": ("a\u2028b",)}, "--before-script"),
        ({"before": (" ",)}, "--before-script: an empty line"),
        ({"install": "a\rb"}, "--install"),
        ({"image": "a\nservices: [x]"}, "--image"),
        ({"audience": "\udcff"}, "--audience"),
        ({"stop_agents_after": "\x00"}, "--stop-agents-after"),
        ({"main_job": ".hidden"}, "--main-job '.hidden' is no name for a job"),
        ({"main_job": "stages"}, "GitLab hides names"),
        ({"agent_job": "agent*"}, "--agent-job 'agent*'"),
        ({"agent_job": "a" * 256}, "--agent-job"),
        ({"guard_job": "nx-dte"}, "three different names"),
        ({"guard_job": "nx-dte-agent-guard"}, "begins like the agents' name"),
        ({"stage": ".pre"}, "stages that start with a dot"),
        ({"stage": ""}, "--stage '' is no name"),
        ({"main_tags": (" x",)}, "--main-tag ' x'"),
        ({"kinds": frozenset()}, "--pipelines"),
        ({"kinds": frozenset({PipelineKind.TAGS}), "is_default_branch_only": True}, "--default-branch needs"),
        ({"coordinator_url": "nx-dte.example.org"}, "looks like https://"),
        ({"coordinator_url": "https://x y"}, "looks like https://"),
        ({"guard": GuardJob.OFF, "guard_mode": "strict"}, "one of the two"),
        ({"artifacts": ("/etc",)}, "below the checkout only"),
        ({"artifacts": ("a/../../b",)}, "below the checkout only"),
        ({"artifacts_expire_in": "soon"}, "--expire-in 'soon'"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_by_name(values: dict[str, Any], message: str) -> None:
    from nx_dte.errors import EXIT_CONFIGURATION, ConfigurationError

    with pytest.raises(ConfigurationError) as caught:
        options(**values)
    assert message in caught.value.message
    assert caught.value.exit_code == EXIT_CONFIGURATION
